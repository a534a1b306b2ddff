//! A small HTTP/1.1 client: one connection, made again when the server has closed it.

use std::io;

use crate::reading::Connection;

/// A connection to a port of this machine, opened when it is needed.
#[derive(Debug)]
pub struct Http {
    port: u16,
    connection: Option<Connection>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}: no JSON: {}", self.status, self.text()))
    }
}

impl Http {
    pub fn new(port: u16) -> Http {
        Http {
            port,
            connection: None,
        }
    }

    pub fn try_get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        self.request("GET", path, headers, b"")
    }

    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_get(path, headers)
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request("POST", path, headers, body)
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Sends a request. A connection that was used before may have been closed by now: then on a new one.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        if let Some(mut connection) = self.connection.take()
            && send(&mut connection, self.port, method, path, headers, body).is_ok()
            && let Ok(answer) = receive(&mut connection)
        {
            return Ok(self.done(connection, answer));
        }
        let mut connection = Connection::open(self.port)?;
        // A server that refuses early may not read all of the body: its answer counts.
        let sent = send(&mut connection, self.port, method, path, headers, body);
        let answer = receive(&mut connection);
        let answer = match (sent, answer) {
            (_, Ok(answer)) => answer,
            (Err(error), _) | (Ok(()), Err(error)) => return Err(error),
        };
        Ok(self.done(connection, answer))
    }

    fn done(&mut self, connection: Connection, answer: Answer) -> Answer {
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        answer
    }

    /// Sends a GET and leaves the body, which never ends, to the caller.
    pub fn open_stream(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<(Answer, Connection)> {
        let mut connection = Connection::open(self.port)?;
        send(&mut connection, self.port, "GET", path, headers, b"")?;
        let answer = receive_head(&mut connection)?;
        Ok((answer, connection))
    }
}

fn send(
    connection: &mut Connection,
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    headers
        .iter()
        .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    if method != "GET" || !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut octets = head.into_bytes();
    octets.extend_from_slice(body);
    connection.write(&octets)
}

fn receive_head(connection: &mut Connection) -> io::Result<Answer> {
    let status_line = connection.line()?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {status_line}")))?;
    let mut headers = Vec::new();
    loop {
        let line = connection.line()?;
        if line.is_empty() {
            return Ok(Answer {
                status,
                headers,
                body: Vec::new(),
            });
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn receive(connection: &mut Connection) -> io::Result<Answer> {
    let mut answer = receive_head(connection)?;
    answer.body = if answer
        .header("transfer-encoding")
        .is_some_and(|coding| coding.contains("chunked"))
    {
        receive_chunks(connection)?
    } else if let Some(length) = answer.header("content-length") {
        let length = length
            .parse()
            .map_err(|_| io::Error::other("a bad Content-Length"))?;
        connection.exactly(length)?
    } else if matches!(answer.status, 204 | 304) {
        Vec::new()
    } else {
        connection.to_end()?
    };
    Ok(answer)
}

fn receive_chunks(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let chunk = receive_chunk(connection)?;
        if chunk.is_empty() {
            return Ok(body);
        }
        body.extend_from_slice(&chunk);
    }
}

/// One chunk of a body; empty at its end (RFC 9112 §7.1).
pub fn receive_chunk(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let line = connection.line()?;
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(size, 16)
        .map_err(|_| io::Error::other(format!("a bad chunk: {line}")))?;
    let chunk = connection.exactly(size)?;
    connection.line()?;
    Ok(chunk)
}
