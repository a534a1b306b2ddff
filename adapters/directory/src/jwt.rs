//! JSON Web Tokens (RFC 7519) that are signed (RFC 7515), and the keys of who signs them (RFC 7517, RFC 7518).
//!
//! Holds: only signatures with a public key count, by algorithms that are listed here: never `none`, never a shared secret; the key's kind
//! decides which algorithm it may be used with.
//! Other half: `oidc`, which fetches the keys and looks at the claims.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Keys of one provider.
pub const KEYS_MAX: usize = 100;

/// A token that was taken apart; nothing of it is proved yet.
#[derive(Debug)]
pub struct Token<'t> {
    pub algorithm: String,
    /// Which key has signed it.
    pub key: Option<String>,
    pub claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// RFC 7515 §4.1.11: what isn't understood may not be passed over.
    crit: Option<Value>,
}

/// Takes a token apart. `None`: it is none.
pub fn parse(text: &str) -> Option<Token<'_>> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    if header.crit.is_some() {
        return None;
    }
    let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
    let Value::Object(claims) = claims else {
        return None;
    };
    Some(Token {
        algorithm: header.alg,
        key: header.kid,
        claims,
        signed,
        signature: decode(signature)?,
    })
}

/// A public key.
#[derive(Clone, Debug, Deserialize)]
pub struct Key {
    kty: String,
    pub kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set (RFC 7517 §5) that can be read.
pub fn keys(set: &Value) -> Vec<Key> {
    let all = set.get("keys").and_then(Value::as_array);
    let all = all.into_iter().flatten().take(KEYS_MAX);
    all.filter_map(|key| serde_json::from_value(key.clone()).ok())
        .collect()
}

impl Token<'_> {
    /// Whether this key has signed it.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        self.verify(key).unwrap_or(false)
    }

    fn verify(&self, key: &Key) -> Option<bool> {
        let algorithm = self.algorithm.as_str();
        let fits = key.alg.as_deref().is_none_or(|of| of == algorithm)
            && key.purpose.as_deref().is_none_or(|of| of == "sig");
        if !fits {
            return Some(false);
        }
        let octets = |part: &Option<String>| {
            let part = part.as_ref()?.trim_end_matches('=');
            BASE64_URL_SAFE_NO_PAD.decode(part).ok()
        };
        let rsa = |parameters: &RsaParameters| -> Option<bool> {
            let components = RsaPublicKeyComponents {
                n: octets(&key.n)?,
                e: octets(&key.e)?,
            };
            let verified = components.verify(parameters, self.signed.as_bytes(), &self.signature);
            Some(verified.is_ok())
        };
        let plain = |with: &'static dyn VerificationAlgorithm, public: Vec<u8>| {
            let key = UnparsedPublicKey::new(with, public);
            let verified = key.verify(self.signed.as_bytes(), &self.signature);
            Some(verified.is_ok())
        };
        // RFC 7518 §6.2.1: a point, uncompressed. Some leave out the zeros that its coordinates begin with, of one key in a hundred.
        let coordinate = |part: &Option<String>, size: usize| {
            let given = octets(part)?;
            let zeros = size.checked_sub(given.len())?;
            Some([vec![0; zeros], given].concat())
        };
        let point = |size| {
            let (x, y) = (coordinate(&key.x, size)?, coordinate(&key.y, size)?);
            Some([vec![4], x, y].concat())
        };
        match (algorithm, key.kty.as_str(), key.crv.as_deref()) {
            ("RS256", "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA256),
            ("RS384", "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA384),
            ("RS512", "RSA", _) => rsa(&RSA_PKCS1_2048_8192_SHA512),
            ("PS256", "RSA", _) => rsa(&RSA_PSS_2048_8192_SHA256),
            ("ES256", "EC", Some("P-256")) => plain(&ECDSA_P256_SHA256_FIXED, point(32)?),
            ("ES384", "EC", Some("P-384")) => plain(&ECDSA_P384_SHA384_FIXED, point(48)?),
            // RFC 8037 §3.1
            ("EdDSA" | "Ed25519", "OKP", Some("Ed25519")) => plain(&ED25519, octets(&key.x)?),
            _ => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7515 appendix A.2 and A.3: the same claims, by RSA and by ECDSA.
    const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn set() -> Vec<Key> {
        keys(&json!({"keys": [
            {"kty": "RSA", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ", "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
            {"nonsense": 1},
        ]}))
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let keys = set();
        assert_eq!(keys.len(), 2);
        for (text, signer) in [(RS256, 0), (ES256, 1)] {
            let token = parse(text).unwrap();
            assert_eq!(token.claims["iss"], "joe");
            assert!(token.is_signed_by(&keys[signer]));
            assert!(!token.is_signed_by(&keys[1 - signer]));
        }
    }

    #[test]
    fn a_coordinate_without_the_zeros_that_it_begins_with() {
        const SIGNED: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJqb2UifQ.cNCBrRe1b6mAXU2ms2ArAoO9BP3mrPVGB0XbK5g4fjVNGc_8neXUQ3nizLo21KMaM0UGmhDaspD-PjSKDi8fAw";
        let [short, long] = ["", "AA"].map(|zeros| {
            let set = json!({"keys": [{
                "kty": "EC",
                "crv": "P-256",
                "x": "6Xn1hKKj38NjPlMPVFpVEhzd7IuPI-csIkGk_RSrhw",
                "y": format!("{zeros}VBsR6dsI-yqPK2_VU10J_ZYwtwr_RC6Iz5CCKnG62WQ"),
            }]});
            keys(&set).remove(0)
        });
        let token = parse(SIGNED).unwrap();
        assert!(token.is_signed_by(&short));
        // Nor is one that is too long a key.
        assert!(!token.is_signed_by(&long));
    }

    #[test]
    fn what_proves_nothing() {
        let keys = set();
        let (signed, signature) = ES256.rsplit_once('.').unwrap();
        let (_, claims) = signed.split_once('.').unwrap();
        let with = |header: &str| {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            format!("{header}.{claims}.{signature}")
        };
        let rows = [
            with("{\"alg\":\"none\"}"),
            with("{\"alg\":\"HS256\"}"),
            with("{\"alg\":\"RS256\"}"),
            format!("{signed}."),
            ES256.replace("epmXFCg", "epmXFCh"),
        ];
        for text in rows {
            let is_good =
                parse(&text).is_some_and(|token| keys.iter().any(|key| token.is_signed_by(key)));
            assert!(!is_good, "{text}");
        }
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "....",
            &with("{\"alg\":\"ES256\",\"crit\":[\"b64\"]}"),
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        let mut other = keys[1].clone();
        other.purpose = Some("enc".to_owned());
        assert!(!parse(ES256).unwrap().is_signed_by(&other));
    }
}
