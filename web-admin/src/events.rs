//! Server-sent events (the HTML standard, §9.2.6), as they come in pieces.
//!
//! Holds: what is kept of a piece is less than one event, and no more than [`PENDING_MAX`].

/// Octets of an event that isn't complete yet. More than the server sends.
const PENDING_MAX: usize = 1 << 20;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// `message` if it says nothing.
    pub name: String,
    pub data: String,
    /// Where to go on behind it; empty: it doesn't say.
    pub id: String,
}

/// What has come of a stream, and makes no event yet.
#[derive(Debug, Default)]
pub struct Events(String);

impl Events {
    /// The events that this piece completes. Comments make none.
    pub fn push(&mut self, piece: &str) -> Vec<Event> {
        self.0.push_str(&piece.replace('\r', ""));
        let mut events = Vec::new();
        while let Some(end) = self.0.find("\n\n") {
            let rest = self.0.split_off(end + 2);
            let block = std::mem::replace(&mut self.0, rest);
            events.extend(event(&block));
        }
        if self.0.len() > PENDING_MAX {
            self.0.clear();
        }
        events
    }
}

fn event(block: &str) -> Option<Event> {
    let mut event = Event {
        name: "message".to_owned(),
        ..Event::default()
    };
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => value.clone_into(&mut event.id),
            "data" => data.push(value),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!data.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_pieces() {
        let mut events = Events::default();
        assert_eq!(events.push(":\n\nevent: rec"), []);
        assert_eq!(events.push("ord\nid: 7\r\ndata: {\"a\":"), []);
        let got = events.push(" 1}\r\n\r\ndata:x\ndata: y\n\n:");
        let of = |name: &str, data: &str, id: &str| Event {
            name: name.into(),
            data: data.into(),
            id: id.into(),
        };
        let want = [of("record", "{\"a\": 1}", "7"), of("message", "x\ny", "")];
        assert_eq!(got, want);
    }

    #[test]
    fn what_never_ends_is_forgotten() {
        let mut events = Events::default();
        events.push(&"x".repeat(PENDING_MAX + 1));
        let got = events.push("data: a\n\n");
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].data, "a");
    }
}
