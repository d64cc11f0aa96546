//! The option list that IPv4 (RFC 791 §3.1) and TCP (RFC 9293 §3.2) share: kind, length, data,
//! with kind 0 ending the list and kind 1 being a single byte of padding.

use super::{Layer, ParseError};

/// One option as found: its kind and what follows its length byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// The kind byte; never 0 or 1, which are consumed silently.
    pub kind: u8,
    /// Without the kind and length bytes.
    pub data: &'a [u8],
}

/// Iterates over options; at most one step per byte, and nothing after an error.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    rest: &'a [u8],
    layer: Layer,
}

impl<'a> Options<'a> {
    pub(super) const fn new(bytes: &'a [u8], layer: Layer) -> Self {
        Self { rest: bytes, layer }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<RawOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        let skip = rest.iter().position(|&kind| kind != 1)?;
        let (_, rest) = rest.split_at_checked(skip)?;
        let &kind = rest.first().filter(|&&kind| kind != 0)?;
        let option = rest.get(1).and_then(|&len| rest.split_at_checked(usize::from(len)));
        Some(match option {
            Some(([_, _, data @ ..], rest)) => {
                self.rest = rest;
                Ok(RawOption { kind, data })
            }
            _ => Err(ParseError::BadOption(self.layer)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Result<RawOption<'_>, ParseError>> {
        Options::new(bytes, Layer::Tcp).collect()
    }

    #[test]
    fn padding_is_skipped_and_the_end_ends() {
        assert_eq!(
            all(&[1, 1, 2, 4, 5, 0xb4, 1, 4, 2, 0, 3, 3, 7]),
            [Ok(RawOption { kind: 2, data: &[5, 0xb4] }), Ok(RawOption { kind: 4, data: &[] })]
        );
        assert_eq!(all(&[1, 1, 1]), []);
    }

    #[test]
    fn a_length_that_lies_is_one_error() {
        let bad = Err(ParseError::BadOption(Layer::Tcp));
        for bytes in [&[2u8][..], &[2, 0, 2, 4], &[2, 1, 2, 4], &[2, 5, 1, 1]] {
            assert_eq!(all(bytes), [bad], "{bytes:?}");
        }
    }
}
