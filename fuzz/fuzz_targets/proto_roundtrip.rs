//! What parses is written again, and reads the same the second time.
#![no_main]

use std::net::Ipv6Addr;

use fluxnet::proto::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pair = IpPair::V6 { src: Ipv6Addr::LOCALHOST, dst: Ipv6Addr::UNSPECIFIED };
    let mut buf = vec![0; bytes.len() + 128];
    if let Ok(view) = ArpView::parse(bytes) {
        assert!(view.repr().emit(&mut buf).is_some());
        assert_eq!(ArpView::parse(&buf).map(|v| v.repr()), Ok(view.repr()));
    }
    if let Ok(view) = Ipv4View::parse(bytes) {
        let payload = view.payload();
        if view.repr().emit_with_options(view.options_bytes(), payload.len(), &mut buf).is_some() {
            assert_eq!(Ipv4View::parse(&buf).map(|v| v.repr()), Ok(view.repr()));
        }
    }
    if let Ok(view) = UdpView::parse(bytes) {
        assert!(view.repr().emit(&pair, view.payload(), &mut buf).is_some());
        let back = UdpView::parse(&buf).map(|v| (v.repr(), v.payload()));
        assert_eq!(back, Ok((view.repr(), view.payload())));
    }
    if let Ok(view) = TcpView::parse(bytes) {
        if let Some(len) = view.repr().emit(&pair, view.payload(), &mut buf) {
            let back = TcpView::parse(&buf[..len]).map(|v| (v.repr(), v.payload()));
            assert_eq!(back, Ok((view.repr(), view.payload())));
        }
    }
    if let Ok(view) = Icmpv4View::parse(bytes) {
        let message = view.message();
        let len = message.emit(&mut buf).unwrap_or_default();
        assert_eq!(Icmpv4View::parse(&buf[..len]).map(|v| v.message()), Ok(message));
    }
    if let Some(message) = Icmpv6View::parse(bytes).ok().and_then(|v| v.message().ok()) {
        let len = message.emit(&pair, &mut buf).unwrap_or_default();
        assert_eq!(Icmpv6View::parse(&buf[..len]).and_then(|v| v.message()), Ok(message));
    }
});
