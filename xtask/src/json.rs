//! A reader of JSON, as much of it as `cargo metadata` needs.
//! Holds: it reads any JSON text; a broken one is an error with its byte, never a panic.

/// Deeper nesting than any metadata has.
const DEPTH_MAX: usize = 64;

#[derive(Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
        };
        let value = reader.value(0)?;
        reader.space();
        match reader.at == reader.text.len() {
            true => Ok(value),
            false => Err(reader.want("the end")),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn string(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// An array's items; nothing for any other value.
    pub fn items(&self) -> &[Json] {
        match self {
            Json::Array(items) => items,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn want(&self, what: &str) -> String {
        format!("JSON, byte {}: want {what}", self.at)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Takes `byte`, and the space before it, when it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_MAX {
            return Err(self.want("less nesting"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(_) => self.word(),
            None => Err(self.want("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut pairs = Vec::new();
        self.at += 1;
        if self.take(b'}') {
            return Ok(Json::Object(pairs));
        }
        loop {
            self.space();
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.want("`:`"));
            }
            pairs.push((key, self.value(depth + 1)?));
            if self.take(b'}') {
                return Ok(Json::Object(pairs));
            }
            if !self.take(b',') {
                return Err(self.want("`,` or `}`"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        let mut items = Vec::new();
        self.at += 1;
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(self.want("`,` or `]`"));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take(b'"') {
            return Err(self.want("`\"`"));
        }
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek().ok_or_else(|| self.want("`\"`"))?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map_err(|_| self.want("UTF-8")),
                b'\\' => {
                    let mut buffer = [0; 4];
                    bytes.extend(self.escape()?.encode_utf8(&mut buffer).as_bytes());
                }
                other => bytes.push(other),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let byte = self.peek().ok_or_else(|| self.want("an escape"))?;
        self.at += 1;
        Ok(match byte {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'"' | b'\\' | b'/' => byte.into(),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                let unit =
                    u32::from_str_radix(digits, 16).map_err(|_| self.want("4 hex digits"))?;
                self.at += 4;
                // Halves of a pair are of no use here.
                char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.want("an escape")),
        })
    }

    fn word(&mut self) -> Result<Json, String> {
        let from = self.at;
        let in_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        while self.peek().is_some_and(in_word) {
            self.at += 1;
        }
        match &self.text[from..self.at] {
            b"null" => Ok(Json::Null),
            b"true" => Ok(Json::Bool(true)),
            b"false" => Ok(Json::Bool(false)),
            word => {
                let word = String::from_utf8_lossy(word).into_owned();
                match word.parse::<f64>() {
                    Ok(_) => Ok(Json::Number(word)),
                    Err(_) => Err(self.want("a value")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = match Json::parse(text) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error,
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn values() {
        check("null", "Null");
        check(
            " [1, true , \"a\\u0041\\n\"] ",
            r#"Array([Number("1"), Bool(true), String("aA\n")])"#,
        );
        check(
            r#"{"a":{},"b":[]}"#,
            r#"Object([("a", Object([])), ("b", Array([]))])"#,
        );
        check("-1.5e3", r#"Number("-1.5e3")"#);
    }

    #[test]
    fn broken() {
        check("", "JSON, byte 0: want a value");
        check("[1", "JSON, byte 2: want `,` or `]`");
        check(r#"{"a" 1}"#, "JSON, byte 5: want `:`");
        check(r#""a"#, "JSON, byte 2: want `\"`");
        check("nul", "JSON, byte 3: want a value");
        check("1 2", "JSON, byte 2: want the end");
        check(&"[".repeat(1000), "JSON, byte 65: want less nesting");
    }
}
