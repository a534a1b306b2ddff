//! Passwords from whoever sits at the keyboard, or from a pipe.
//!
//! Holds: what is typed isn't shown, and the terminal is as it was afterwards.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use jmap_core::{
    auth::{Secret, password::PASSWORD_OCTETS_MAX},
    rng::Rng,
};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{args::PasswordFrom, command::Password};

/// Reads a password, twice where somebody types it.
pub fn read(from: PasswordFrom) -> io::Result<Password> {
    match from {
        PasswordFrom::Stdin => read_line(),
        PasswordFrom::Prompt if io::stdin().is_terminal() => prompt(),
        PasswordFrom::Prompt => Err(io::Error::other(
            "there is no terminal to ask for the password at; give it by --password-stdin",
        )),
    }
}

fn read_line() -> io::Result<Password> {
    let mut line = zeroize::Zeroizing::new(String::new());
    let octets_max = PASSWORD_OCTETS_MAX as u64 + 2;
    io::stdin().lock().take(octets_max).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    match password.is_empty() {
        true => Err(io::Error::other("the password is empty")),
        false => Ok(Password(Secret::from(password))),
    }
}

fn prompt() -> io::Result<Password> {
    let first = hidden("Password: ")?;
    let again = hidden("The same again: ")?;
    match first == again {
        true => Ok(first),
        false => Err(io::Error::other(
            "the two passwords differ; nothing was changed",
        )),
    }
}

fn hidden(question: &str) -> io::Result<Password> {
    eprint!("{question}");
    io::stderr().flush()?;
    let silent = Silent::new()?;
    let line = read_line();
    drop(silent);
    eprintln!();
    line
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Silent(Termios);

impl Silent {
    fn new() -> io::Result<Silent> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silent(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The letters and digits that are not taken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a password that is made up: 100 bits.
const CHARACTERS: usize = 20;

/// A password that nobody has thought of.
pub fn random(rng: &dyn Rng) -> Secret<String> {
    let mut octets = [0; CHARACTERS];
    rng.fill(&mut octets);
    let mut text = String::with_capacity(CHARACTERS + CHARACTERS / 5);
    for (at, octet) in octets.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(octet % 32)]));
    }
    Secret::new(text)
}
