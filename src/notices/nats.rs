//! NATS: a subject.

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use jmap_core::cluster::{NoticeError, NoticeStream, Notices};
use percent_encoding::percent_decode_str;
use tokio::sync::{Mutex, watch};

use super::{CHANNEL, TIMEOUT, failed, in_time};

pub struct Nats {
    server: ServerAddr,
    publishing: Mutex<Option<Client>>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nats")
    }
}

impl Nats {
    pub fn new(url: &str) -> Result<Self, String> {
        let server = url.parse::<ServerAddr>();
        Ok(Self {
            server: server.map_err(|_| "it is not a URL of NATS".to_owned())?,
            publishing: Mutex::default(),
        })
    }

    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new()
            .name("posthorn")
            .connection_timeout(TIMEOUT);
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        // The client leaves what is in the URL to us.
        match (self.server.username(), self.server.password()) {
            (Some(user), Some(password)) => {
                options.user_and_password(decoded(user), decoded(password))
            }
            (Some(token), None) => options.token(decoded(token)),
            (None, _) => options,
        }
    }

    async fn publishing(&self) -> Result<Client, NoticeError> {
        let mut publishing = self.publishing.lock().await;
        if let Some(client) = &*publishing {
            return Ok(client.clone());
        }
        let made = self.options().connect(self.server.clone()).await;
        Ok(publishing.insert(made.map_err(failed)?).clone())
    }
}

#[async_trait]
impl Notices for Nats {
    async fn publish(&self, texts: Vec<String>) -> Result<(), NoticeError> {
        in_time(async {
            let client = self.publishing().await?;
            for text in texts {
                client.publish(CHANNEL, text.into()).await.map_err(failed)?;
            }
            client.flush().await.map_err(failed)
        })
        .await
    }

    async fn subscribe(&self) -> Result<Box<dyn NoticeStream>, NoticeError> {
        in_time(async {
            let (lost, is_lost) = watch::channel(false);
            // The client would connect again by itself, and nobody would know that something was missed.
            let options = self.options().event_callback(move |event| {
                if matches!(
                    event,
                    Event::Disconnected | Event::Closed | Event::SlowConsumer(_)
                ) {
                    lost.send_replace(true);
                }
                std::future::ready(())
            });
            let client = options.connect(self.server.clone()).await.map_err(failed)?;
            let subscriber = client.subscribe(CHANNEL).await.map_err(failed)?;
            // So that the server has it.
            client.flush().await.map_err(failed)?;
            let stream = Stream {
                subscriber,
                is_lost,
                _client: client,
            };
            Ok(Box::new(stream) as Box<dyn NoticeStream>)
        })
        .await
    }
}

struct Stream {
    subscriber: Subscriber,
    is_lost: watch::Receiver<bool>,
    _client: Client,
}

#[async_trait]
impl NoticeStream for Stream {
    async fn next(&mut self) -> Result<String, NoticeError> {
        let ended = || NoticeError("the connection has ended".to_owned());
        tokio::select! {
            _ = self.is_lost.wait_for(|is_lost| *is_lost) => Err(ended()),
            message = self.subscriber.next() => {
                let message = message.ok_or_else(ended)?;
                String::from_utf8(message.payload.to_vec()).map_err(failed)
            }
        }
    }
}
