//! PostgreSQL: NOTIFY and LISTEN.

use async_trait::async_trait;
use jmap_core::cluster::{NoticeError, NoticeStream, Notices};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::{CHANNEL, TIMEOUT, failed, in_time};

/// Connections: one to tell, and one to listen.
const CONNECTIONS: u32 = 2;

pub struct Postgres {
    options: PgConnectOptions,
    pool: std::sync::OnceLock<PgPool>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

impl Postgres {
    pub fn new(url: &str) -> Result<Self, String> {
        let options = url.parse::<PgConnectOptions>();
        let options = options.map_err(|_| "it is not a URL of PostgreSQL".to_owned())?;
        Ok(Self {
            options: options.application_name("posthorn notices"),
            pool: std::sync::OnceLock::new(),
        })
    }

    fn pool(&self) -> &PgPool {
        self.pool.get_or_init(|| {
            PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .acquire_timeout(TIMEOUT)
                .connect_lazy_with(self.options.clone())
        })
    }
}

#[async_trait]
impl Notices for Postgres {
    async fn publish(&self, texts: Vec<String>) -> Result<(), NoticeError> {
        in_time(async {
            // All of them in one transaction, which commits and wakes listeners once.
            let notify = "SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text";
            let done = sqlx::query(notify).bind(CHANNEL).bind(texts);
            done.execute(self.pool()).await.map_err(failed).map(drop)
        })
        .await
    }

    async fn subscribe(&self) -> Result<Box<dyn NoticeStream>, NoticeError> {
        in_time(async {
            let mut listener = PgListener::connect_with(self.pool())
                .await
                .map_err(failed)?;
            // It would connect again by itself, and nobody would know that something was missed.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await.map_err(failed)?;
            Ok(Box::new(Stream(listener)) as Box<dyn NoticeStream>)
        })
        .await
    }
}

struct Stream(PgListener);

#[async_trait]
impl NoticeStream for Stream {
    async fn next(&mut self) -> Result<String, NoticeError> {
        match self.0.try_recv().await.map_err(failed)? {
            Some(notice) => Ok(notice.payload().to_owned()),
            None => Err(NoticeError("the connection has ended".to_owned())),
        }
    }
}
