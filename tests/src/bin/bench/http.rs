//! A client of HTTP/1.1 over a kept connection: little code, so that it takes little of the CPU the server shares with it.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Fail;

pub struct Http {
    stream: BufReader<TcpStream>,
    head: String,
    /// All that has come in.
    pub octets: u64,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

enum Length {
    Octets(usize),
    Chunked,
}

impl Http {
    /// `authorization` is the header's value.
    pub async fn open(port: u16, authorization: &str) -> Result<Self, Fail> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let head = format!("Host: 127.0.0.1:{port}\r\nAuthorization: {authorization}\r\n");
        Ok(Self {
            stream: BufReader::new(stream),
            head,
            octets: 0,
        })
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Fail> {
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head);
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    pub async fn post(&mut self, path: &str, json: &str) -> Result<Answer, Fail> {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            self.head,
            json.len(),
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    /// Asks for a stream that doesn't end; returns the connection once the server has answered 200.
    pub async fn stream(mut self, path: &str) -> Result<TcpStream, Fail> {
        let request = format!(
            "GET {path} HTTP/1.1\r\n{}Accept: text/event-stream\r\n\r\n",
            self.head
        );
        self.stream.write_all(request.as_bytes()).await?;
        match self.head_of_answer().await? {
            (200, _) => Ok(self.stream.into_inner()),
            (status, _) => Err(format!("{path}: {status}").into()),
        }
    }

    async fn answer(&mut self) -> Result<Answer, Fail> {
        let (status, length) = self.head_of_answer().await?;
        let mut body = Vec::new();
        match length {
            Length::Octets(octets) => self.take(octets, &mut body).await?,
            Length::Chunked => loop {
                let line = self.line().await?;
                let octets =
                    usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
                if octets == 0 {
                    while !self.line().await?.is_empty() {}
                    break;
                }
                self.take(octets, &mut body).await?;
                self.line().await?;
            },
        }
        Ok(Answer { status, body })
    }

    async fn head_of_answer(&mut self) -> Result<(u16, Length), Fail> {
        let first = self.line().await?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("no HTTP answer: {first:?}"))?;
        let mut length = Length::Octets(0);
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some(octets) = line.strip_prefix("content-length:") {
                length = Length::Octets(octets.trim().parse()?);
            } else if line.starts_with("transfer-encoding:") && line.ends_with("chunked") {
                length = Length::Chunked;
            }
        }
    }

    async fn line(&mut self) -> Result<String, Fail> {
        let mut line = String::new();
        let octets = self.stream.read_line(&mut line).await?;
        if octets == 0 {
            return Err("the server closed the connection".into());
        }
        self.octets += octets as u64;
        Ok(line.trim_end().to_owned())
    }

    async fn take(&mut self, octets: usize, body: &mut Vec<u8>) -> Result<(), Fail> {
        let from = body.len();
        body.resize(from + octets, 0);
        self.stream.read_exact(&mut body[from..]).await?;
        self.octets += octets as u64;
        Ok(())
    }
}
