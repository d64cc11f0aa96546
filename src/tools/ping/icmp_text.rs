//! ICMP errors in the words of iputils' ping.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

/// Type, code and the 32 bits behind the checksum, as an ICMP or ICMPv6 error carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) v4: bool,
    pub(super) icmp_type: u8,
    pub(super) code: u8,
    pub(super) rest: u32,
}

impl Report {
    /// Whether the probe did not get there. Redirects and source quench only comment on one that
    /// goes on.
    pub(super) fn is_final(self) -> bool {
        !self.v4 || !matches!(self.icmp_type, 4 | 5)
    }

    /// The MTU of the next hop, where the message says it (RFC 1191 §4, RFC 4443 §3.2).
    pub(super) fn mtu(self) -> Option<u32> {
        let mtu = match (self.v4, self.icmp_type, self.code) {
            (true, 3, 4) => self.rest & 0xffff,
            (false, 2, _) => self.rest,
            _ => 0,
        };
        (mtu > 0).then_some(mtu)
    }

    /// In words.
    pub(super) fn text(self) -> Cow<'static, str> {
        if self.v4 { self.text_v4() } else { self.text_v6() }
    }

    fn text_v4(self) -> Cow<'static, str> {
        let (code, rest) = (self.code, self.rest);
        match self.icmp_type {
            3 => match code {
                0 => "Destination Net Unreachable".into(),
                1 => "Destination Host Unreachable".into(),
                2 => "Destination Protocol Unreachable".into(),
                3 => "Destination Port Unreachable".into(),
                4 => format!("Frag needed and DF set (mtu = {})", rest & 0xffff).into(),
                5 => "Source Route Failed".into(),
                6 => "Destination Net Unknown".into(),
                7 => "Destination Host Unknown".into(),
                8 => "Source Host Isolated".into(),
                9 => "Destination Net Prohibited".into(),
                10 => "Destination Host Prohibited".into(),
                11 => "Destination Net Unreachable for Type of Service".into(),
                12 => "Destination Host Unreachable for Type of Service".into(),
                13 => "Packet filtered".into(),
                14 => "Precedence Violation".into(),
                15 => "Precedence Cutoff".into(),
                _ => format!("Dest Unreachable, Bad Code: {code}").into(),
            },
            4 => "Source Quench".into(),
            5 => {
                let what = match code {
                    0 => "Redirect Network",
                    1 => "Redirect Host",
                    2 => "Redirect Type of Service and Network",
                    3 => "Redirect Type of Service and Host",
                    _ => return format!("Redirect, Bad Code: {code}").into(),
                };
                let hop = IpAddr::V4(Ipv4Addr::from_bits(rest));
                format!("{what} (New nexthop: {hop})").into()
            }
            11 => match code {
                0 => "Time to live exceeded".into(),
                1 => "Frag reassembly time exceeded".into(),
                _ => format!("Time exceeded, Bad Code: {code}").into(),
            },
            12 => format!("Parameter problem: pointer = {}", rest >> 24).into(),
            other => format!("Bad ICMP type: {other}").into(),
        }
    }

    fn text_v6(self) -> Cow<'static, str> {
        let (code, rest) = (self.code, self.rest);
        match self.icmp_type {
            1 => match code {
                0 => "Destination unreachable: No route".into(),
                1 => "Destination unreachable: Administratively prohibited".into(),
                2 => "Destination unreachable: Beyond scope of source address".into(),
                3 => "Destination unreachable: Address unreachable".into(),
                4 => "Destination unreachable: Port unreachable".into(),
                _ => format!("Destination unreachable: Unknown code {code}").into(),
            },
            2 => format!("Packet too big: mtu={rest}").into(),
            3 => match code {
                0 => "Time exceeded: Hop limit".into(),
                1 => "Time exceeded: Defragmentation failure".into(),
                _ => format!("Time exceeded: code {code}").into(),
            },
            4 => {
                let what = match code {
                    0 => "Wrong header field".into(),
                    1 => "Unknown header".into(),
                    2 => "Unknown option".into(),
                    _ => Cow::from(format!("code {code}")),
                };
                format!("Parameter problem: {what} at {rest}").into()
            }
            other => format!("unknown icmp type: {other}").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_ping_prints_them() {
        let v4 = |icmp_type, code, rest| Report { v4: true, icmp_type, code, rest };
        let v6 = |icmp_type, code, rest| Report { v4: false, icmp_type, code, rest };
        for (report, text) in [
            (v4(3, 1, 0), "Destination Host Unreachable"),
            (v4(3, 4, 1400), "Frag needed and DF set (mtu = 1400)"),
            (v4(11, 0, 0), "Time to live exceeded"),
            (v4(5, 1, 0x0a00_00fe), "Redirect Host (New nexthop: 10.0.0.254)"),
            (v4(12, 0, 0x1400_0000), "Parameter problem: pointer = 20"),
            (v6(1, 3, 0), "Destination unreachable: Address unreachable"),
            (v6(2, 0, 1280), "Packet too big: mtu=1280"),
            (v6(3, 0, 0), "Time exceeded: Hop limit"),
            (v6(4, 1, 40), "Parameter problem: Unknown header at 40"),
        ] {
            assert_eq!(report.text(), text);
        }
    }

    #[test]
    fn only_messages_about_size_tell_an_mtu() {
        let report = |v4, icmp_type, code| Report { v4, icmp_type, code, rest: 1400 };
        assert_eq!(report(true, 3, 4).mtu(), Some(1400));
        assert_eq!(report(false, 2, 0).mtu(), Some(1400));
        assert_eq!(report(true, 3, 1).mtu(), None);
        assert_eq!(Report { rest: 0, ..report(true, 3, 4) }.mtu(), None);
        assert!(!report(true, 5, 1).is_final() && report(true, 11, 0).is_final());
    }
}
