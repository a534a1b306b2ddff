//! Reading from a socket by lines and by count, with an end to waiting.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long anything may take to answer.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A connection with a buffer for reading.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        Ok(Connection(BufReader::new(stream)))
    }

    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(octets)
    }

    /// A line without its end. The end of the connection is an error.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while matches!(line.last(), Some(b'\r' | b'\n')) {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// A line with its end, octet by octet.
    pub fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }

    pub fn exactly(&mut self, octets: usize) -> io::Result<Vec<u8>> {
        let mut into = vec![0; octets];
        self.0.read_exact(&mut into)?;
        Ok(into)
    }

    pub fn to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut into = Vec::new();
        self.0.read_to_end(&mut into)?;
        Ok(into)
    }
}
