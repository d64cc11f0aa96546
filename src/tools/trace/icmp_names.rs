//! Answers in the icmp_names and marks of traceroute, and what they mean for the path.

use super::answer::Kind;
use std::borrow::Cow;

/// Codes of ICMP type 3, in icmp_names and as traceroute marks them.
const UNREACHABLE_V4: [(&str, &str); 16] = [
    ("network unreachable", "!N"),
    ("host unreachable", "!H"),
    ("protocol unreachable", "!P"),
    ("port unreachable", ""),
    ("fragmentation needed", "!F"),
    ("source route failed", "!S"),
    ("network unknown", "!N"),
    ("host unknown", "!H"),
    ("source host isolated", "!N"),
    ("network prohibited", "!X"),
    ("host prohibited", "!X"),
    ("network unreachable for this tos", "!N"),
    ("host unreachable for this tos", "!H"),
    ("prohibited", "!X"),
    ("precedence violation", "!V"),
    ("precedence cutoff", "!C"),
];

/// Codes of ICMPv6 type 1.
const UNREACHABLE_V6: [(&str, &str); 8] = [
    ("no route", "!N"),
    ("prohibited", "!X"),
    ("beyond scope of source", "!H"),
    ("address unreachable", "!H"),
    ("port unreachable", ""),
    ("source address prohibited", "!X"),
    ("route rejected", "!X"),
    ("source route failed", "!S"),
];

/// What an error is, whatever its family.
enum Class {
    TooBig,
    Unreachable(Option<(&'static str, &'static str)>),
    /// Reassembly.
    Expired,
    Problem,
    Other,
}

fn class(v4: bool, icmp_type: u8, code: u8) -> Class {
    let known = |codes: &[(&'static str, &'static str)]| codes.get(usize::from(code)).copied();
    match (v4, icmp_type, code) {
        (true, 3, 4) | (false, 2, _) => Class::TooBig,
        (true, 3, _) => Class::Unreachable(known(&UNREACHABLE_V4)),
        (false, 1, _) => Class::Unreachable(known(&UNREACHABLE_V6)),
        // An unknown next header is how IPv6 says that the protocol is not spoken.
        (false, 4, 1) => Class::Unreachable(Some(("protocol unreachable", "!P"))),
        (true, 11, _) | (false, 3, _) => Class::Expired,
        (true, 12, _) | (false, 4, _) => Class::Problem,
        _ => Class::Other,
    }
}

/// In icmp_names.
pub(super) fn text(kind: Kind) -> Cow<'static, str> {
    let Kind::Error { v4, icmp_type, code, .. } = kind else {
        return match kind {
            Kind::TimeExceeded | Kind::Error { .. } => "time exceeded",
            Kind::EchoReply => "echo reply",
            Kind::SynAck { .. } => "syn-ack",
            Kind::Reset => "reset",
            Kind::UdpReply => "udp reply",
        }
        .into();
    };
    match class(v4, icmp_type, code) {
        Class::TooBig if v4 => "fragmentation needed".into(),
        Class::TooBig => "packet too big".into(),
        Class::Unreachable(Some((text, _))) => text.into(),
        Class::Unreachable(None) => format!("unreachable, code {code}").into(),
        Class::Expired => "reassembly time exceeded".into(),
        Class::Problem => "parameter problem".into(),
        Class::Other => format!("icmp type {icmp_type} code {code}").into(),
    }
}

/// As traceroute marks it; `None` for what is to be expected on a path and at its end.
pub(super) fn mark(kind: Kind) -> Option<String> {
    let Kind::Error { v4, icmp_type, code, mtu } = kind else { return None };
    match class(v4, icmp_type, code) {
        Class::TooBig => Some(mtu.map_or_else(|| "!F".into(), |mtu| format!("!F-{mtu}"))),
        Class::Unreachable(Some((_, mark))) => (!mark.is_empty()).then(|| mark.into()),
        Class::Unreachable(None) => Some(format!("!<{code}>")),
        Class::Expired | Class::Problem | Class::Other => Some(format!("!<{icmp_type}-{code}>")),
    }
}

/// Whether no probe with a larger TTL gets any further: the target, or a router that says that
/// the way ends there. That a packet is too big ends the way of such packets alone.
pub(super) fn ends_path(kind: Kind) -> bool {
    match kind {
        Kind::TimeExceeded => false,
        Kind::Error { v4, icmp_type, code, .. } => match class(v4, icmp_type, code) {
            Class::TooBig | Class::Expired => false,
            Class::Unreachable(_) | Class::Problem | Class::Other => true,
        },
        Kind::EchoReply | Kind::SynAck { .. } | Kind::Reset | Kind::UdpReply => true,
    }
}

/// Whether the target was reached: it answered the probe itself, or refused it in its own name.
pub(super) fn reaches(kind: Kind, from_target: bool) -> bool {
    from_target && ends_path(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(v4: bool, icmp_type: u8, code: u8) -> Kind {
        let mtu = matches!((v4, icmp_type, code), (true, 3, 4) | (false, 2, _)).then_some(1400);
        Kind::Error { v4, icmp_type, code, mtu }
    }

    #[test]
    fn answers_read_and_are_marked_as_traceroute_prints_them() {
        for (kind, icmp_names, marked) in [
            (Kind::TimeExceeded, "time exceeded", None),
            (Kind::EchoReply, "echo reply", None),
            (Kind::SynAck { ack: 1 }, "syn-ack", None),
            (Kind::Reset, "reset", None),
            (Kind::UdpReply, "udp reply", None),
            (error(true, 3, 0), "network unreachable", Some("!N")),
            (error(true, 3, 1), "host unreachable", Some("!H")),
            (error(true, 3, 2), "protocol unreachable", Some("!P")),
            (error(true, 3, 3), "port unreachable", None),
            (error(true, 3, 4), "fragmentation needed", Some("!F-1400")),
            (error(true, 3, 5), "source route failed", Some("!S")),
            (error(true, 3, 10), "host prohibited", Some("!X")),
            (error(true, 3, 13), "prohibited", Some("!X")),
            (error(true, 3, 14), "precedence violation", Some("!V")),
            (error(true, 3, 15), "precedence cutoff", Some("!C")),
            (error(true, 3, 77), "unreachable, code 77", Some("!<77>")),
            (error(true, 11, 1), "reassembly time exceeded", Some("!<11-1>")),
            (error(true, 12, 0), "parameter problem", Some("!<12-0>")),
            (error(false, 1, 0), "no route", Some("!N")),
            (error(false, 1, 1), "prohibited", Some("!X")),
            (error(false, 1, 3), "address unreachable", Some("!H")),
            (error(false, 1, 4), "port unreachable", None),
            (error(false, 2, 0), "packet too big", Some("!F-1400")),
            (error(false, 4, 1), "protocol unreachable", Some("!P")),
        ] {
            assert_eq!((&*text(kind), mark(kind).as_deref()), (icmp_names, marked));
        }
        let old = Kind::Error { v4: true, icmp_type: 3, code: 4, mtu: None };
        assert_eq!(mark(old).as_deref(), Some("!F"), "routers older than RFC 1191");
    }

    #[test]
    fn the_path_ends_with_a_refusal_and_not_with_a_size() {
        for kind in [Kind::TimeExceeded, error(true, 3, 4), error(false, 2, 0), error(true, 11, 1)]
        {
            assert!(!ends_path(kind) && !reaches(kind, true), "{kind:?}");
        }
        for kind in
            [Kind::EchoReply, Kind::Reset, Kind::UdpReply, error(true, 3, 3), error(false, 1, 1)]
        {
            assert!(ends_path(kind) && reaches(kind, true) && !reaches(kind, false), "{kind:?}");
        }
    }
}
