//! Redis: PUBLISH and SUBSCRIBE.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use jmap_core::cluster::{NoticeError, NoticeStream, Notices};
use redis::{
    Client,
    aio::{ConnectionManager, ConnectionManagerConfig, PubSub},
};
use tokio::sync::Mutex;

use super::{CHANNEL, TIMEOUT, failed, in_time};

pub struct Redis {
    client: Client,
    /// Made when something is to be told first; it connects again by itself.
    publishing: Mutex<Option<ConnectionManager>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    pub fn new(url: &str) -> Result<Self, String> {
        let client = Client::open(url);
        Ok(Self {
            client: client.map_err(|error| error.category().to_owned())?,
            publishing: Mutex::default(),
        })
    }

    async fn publishing(&self) -> Result<ConnectionManager, NoticeError> {
        let mut publishing = self.publishing.lock().await;
        if let Some(connection) = &*publishing {
            return Ok(connection.clone());
        }
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(1);
        let made = self.client.get_connection_manager_with_config(settings);
        let made = made.await.map_err(failed)?;
        Ok(publishing.insert(made).clone())
    }
}

#[async_trait]
impl Notices for Redis {
    async fn publish(&self, texts: Vec<String>) -> Result<(), NoticeError> {
        in_time(async {
            let mut connection = self.publishing().await?;
            let mut pipeline = redis::pipe();
            for text in texts {
                pipeline.publish(CHANNEL, text).ignore();
            }
            let done: redis::RedisResult<()> = pipeline.query_async(&mut connection).await;
            done.map_err(failed)
        })
        .await
    }

    async fn subscribe(&self) -> Result<Box<dyn NoticeStream>, NoticeError> {
        in_time(async {
            let mut connection = self.client.get_async_pubsub().await.map_err(failed)?;
            connection.subscribe(CHANNEL).await.map_err(failed)?;
            Ok(Box::new(Stream(connection)) as Box<dyn NoticeStream>)
        })
        .await
    }
}

struct Stream(PubSub);

#[async_trait]
impl NoticeStream for Stream {
    async fn next(&mut self) -> Result<String, NoticeError> {
        let mut messages = std::pin::pin!(self.0.on_message());
        match messages.next().await {
            Some(message) => message.get_payload().map_err(failed),
            None => Err(NoticeError("the connection has ended".to_owned())),
        }
    }
}
