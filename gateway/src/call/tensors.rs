//! Requests of the Open Inference Protocol: their path names the model, and their body is the replica's to read.

use chandler_crds::names::inference;

/// The path of a request for tensors, from the model's name on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TensorPath<'a> {
    /// As it stands in the path.
    name: &'a str,
    /// What follows it.
    rest: &'a str,
}

impl<'a> TensorPath<'a> {
    /// Of a path, with or without a query, such as `/v2/models/NAME/infer`.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let (name, rest) = path.strip_prefix(inference::MODELS)?.split_once('/')?;
        let plain = rest.split('?').next()?;
        let is_infer = match plain.strip_prefix("versions/") {
            Some(versioned) => {
                let version = versioned.strip_suffix("/infer")?;
                !version.is_empty() && !version.contains('/')
            }
            None => plain == "infer",
        };
        (is_infer && !name.is_empty()).then_some(Self { name, rest })
    }

    /// The model's name as callers of other paths write it.
    pub(super) fn model(&self) -> String {
        let mut bytes = Vec::with_capacity(self.name.len());
        let mut left = self.name.as_bytes();
        while let Some((&first, rest)) = left.split_first() {
            let escaped = rest.first_chunk::<2>().filter(|_| first == b'%');
            let byte = escaped.and_then(|digits| {
                let digits = str::from_utf8(digits).ok()?;
                u8::from_str_radix(digits, 16).ok()
            });
            bytes.push(byte.unwrap_or(first));
            left = if byte.is_some() { &rest[2..] } else { rest };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The path for a replica that calls the model `served_name`.
    pub(super) fn renamed(&self, served_name: &str) -> String {
        let mut path = inference::MODELS.to_owned();
        for byte in served_name.bytes() {
            match byte {
                b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
                byte if byte.is_ascii_alphanumeric() => path.push(byte.into()),
                byte => path.push_str(&format!("%{byte:02X}")),
            }
        }
        path.push('/');
        path.push_str(self.rest);
        path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn model(path: &str) -> Option<String> {
        TensorPath::of(path).map(|path| path.model())
    }

    #[test]
    fn the_model_stands_in_the_path() {
        for (path, name) in [
            ("/v2/models/chat/infer", "chat"),
            ("/v2/models/chat/infer?x=/", "chat"),
            ("/v2/models/chat/versions/1/infer", "chat"),
            ("/v2/models/team%2Fchat/infer", "team/chat"),
            ("/v2/models/%C3%A9%2/infer", "é%2"),
            ("/v2/models/a%zz/infer", "a%zz"),
            ("/v2/models/infer/infer", "infer"),
        ] {
            assert_eq!(model(path).as_deref(), Some(name), "{path}");
        }
        for path in [
            "/v2/models",
            "/v2/models/chat",
            "/v2/models/chat/ready",
            "/v2/models//infer",
            "/v2/models/a/b/infer",
            "/v2/models/chat/versions//infer",
            "/v2/models/chat/versions/1/2/infer",
            "/v2/models/chat/infer/",
            "/v1/models/chat/infer",
        ] {
            assert_eq!(TensorPath::of(path), None, "{path}");
        }
    }

    #[test]
    fn another_name_is_written_so_that_it_reads_the_same() {
        let path = "/v2/models/x/versions/1/infer?a=b";
        let renamed = TensorPath::of(path).unwrap().renamed("org/näme 1.0");
        assert_eq!(
            renamed,
            "/v2/models/org%2Fn%C3%A4me%201.0/versions/1/infer?a=b"
        );
        assert_eq!(model(&renamed).unwrap(), "org/näme 1.0");
    }
}
