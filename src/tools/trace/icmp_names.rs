//! Answers as words and with the marks of traceroute, and what they mean for the path.

use super::answer::Kind;
use super::event::PortState;
use std::borrow::Cow;

/// Codes of ICMP type 3, as words and as traceroute marks them.
const UNREACHABLE_V4: [(&str, &str); 16] = [
    ("network_unreachable", "!N"),
    ("host_unreachable", "!H"),
    ("protocol_unreachable", "!P"),
    ("port_unreachable", ""),
    ("fragmentation_needed", "!F"),
    ("source_route_failed", "!S"),
    ("network_unknown", "!N"),
    ("host_unknown", "!H"),
    ("source_host_isolated", "!N"),
    ("network_prohibited", "!X"),
    ("host_prohibited", "!X"),
    ("network_unreachable_for_this_tos", "!N"),
    ("host_unreachable_for_this_tos", "!H"),
    ("prohibited", "!X"),
    ("precedence_violation", "!V"),
    ("precedence_cutoff", "!C"),
];

/// Codes of ICMPv6 type 1.
const UNREACHABLE_V6: [(&str, &str); 8] = [
    ("no_route", "!N"),
    ("prohibited", "!X"),
    ("beyond_scope_of_source", "!H"),
    ("address_unreachable", "!H"),
    ("port_unreachable", ""),
    ("source_address_prohibited", "!X"),
    ("route_rejected", "!X"),
    ("source_route_failed", "!S"),
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
        (false, 4, 1) => Class::Unreachable(Some(("protocol_unreachable", "!P"))),
        (true, 11, _) | (false, 3, _) => Class::Expired,
        (true, 12, _) | (false, 4, _) => Class::Problem,
        _ => Class::Other,
    }
}

/// As a word.
pub(super) fn word(kind: Kind) -> Cow<'static, str> {
    let Kind::Error { v4, icmp_type, code, .. } = kind else {
        return match kind {
            Kind::TimeExceeded | Kind::Error { .. } => "time_exceeded",
            Kind::EchoReply => "echo_reply",
            Kind::SynAck { .. } => "syn_ack",
            Kind::Reset => "reset",
            Kind::UdpReply => "udp_reply",
        }
        .into();
    };
    match class(v4, icmp_type, code) {
        Class::TooBig if v4 => "fragmentation_needed".into(),
        Class::TooBig => "packet_too_big".into(),
        Class::Unreachable(Some((text, _))) => text.into(),
        Class::Unreachable(None) => format!("unreachable_code_{code}").into(),
        Class::Expired => "reassembly_time_exceeded".into(),
        Class::Problem => "parameter_problem".into(),
        Class::Other => format!("icmp_type_{icmp_type}_code_{code}").into(),
    }
}

/// What [`Reply::icmp`](super::Reply::icmp) says, for people: `time exceeded`.
#[must_use]
pub fn icmp_text(word: &str) -> String {
    match word {
        "syn_ack" => "syn-ack".into(),
        word => match word.strip_prefix("unreachable_code_") {
            Some(code) => format!("unreachable, code {code}"),
            None => word.replace('_', " "),
        },
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

/// What an answer says of the TCP port that was probed.
pub(super) fn port_state(kind: Kind) -> Option<PortState> {
    match kind {
        Kind::SynAck { .. } => Some(PortState::Open),
        Kind::Reset => Some(PortState::Closed),
        _ => None,
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

/// Whether a host took the probe for its own, whatever its address: nobody but the end of the path
/// looks for a port or a protocol. What else the target's own address says counts as well.
pub(super) fn reaches(kind: Kind, from_target: bool) -> bool {
    let own = match kind {
        Kind::TimeExceeded => false,
        Kind::Error { v4, icmp_type, code, .. } => {
            matches!((v4, icmp_type, code), (true, 3, 2 | 3) | (false, 1, 4) | (false, 4, 1))
        }
        Kind::EchoReply | Kind::SynAck { .. } | Kind::Reset | Kind::UdpReply => true,
    };
    own || from_target && ends_path(kind)
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
        for (kind, text, marked) in [
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
            (error(true, 5, 1), "icmp type 5 code 1", Some("!<5-1>")),
            (error(true, 11, 1), "reassembly time exceeded", Some("!<11-1>")),
            (error(true, 12, 0), "parameter problem", Some("!<12-0>")),
            (error(false, 1, 0), "no route", Some("!N")),
            (error(false, 1, 1), "prohibited", Some("!X")),
            (error(false, 1, 3), "address unreachable", Some("!H")),
            (error(false, 1, 4), "port unreachable", None),
            (error(false, 2, 0), "packet too big", Some("!F-1400")),
            (error(false, 4, 1), "protocol unreachable", Some("!P")),
        ] {
            let word = super::word(kind);
            let is_word = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
            assert!(word.chars().all(is_word), "{word}");
            assert_eq!((&*icmp_text(&word), mark(kind).as_deref()), (text, marked));
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
            assert!(ends_path(kind) && reaches(kind, true), "{kind:?}");
        }
        for kind in [error(true, 3, 1), error(true, 3, 13), error(false, 1, 1)] {
            assert!(!reaches(kind, false), "somebody on the way: {kind:?}");
        }
    }
}
