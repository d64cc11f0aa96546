//! Any bytes as an ICMP error with extensions: what is yielded lies inside, and objects add up.
#![no_main]

use fluxnet::proto::{ErrorBody, Extensions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for body in [ErrorBody::parse_v4(bytes), ErrorBody::parse_v6(bytes)].into_iter().flatten() {
        assert!(body.datagram.len() + 8 <= bytes.len());
        let _ = body.quote().map(|quote| (quote.ports(), quote.echo(), quote.tcp_seq()));
        let Some(found) = body.extensions else { continue };
        assert_eq!(body.datagram.len() + found.as_bytes().len() + 8, bytes.len());
        let len: usize = found.objects().map(|object| object.payload.len() + 4).sum();
        assert_eq!(len + 4, found.as_bytes().len());
        for object in found.objects() {
            let labels =
                object.label_stack().map(|stack| stack.inspect(|l| assert!(l.label < 1 << 20)));
            assert!(labels.is_none_or(|labels| labels.count() * 4 == object.payload.len()));
        }
        assert_eq!(Extensions::parse(found.as_bytes()), Some(found));
    }
});
