//! [`HostError`]: what the host could not answer, about what, and why.

use crate::error::{ErrorKind, FluxError, errno_text};
use crate::text::near::near;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// What a [`Host`](super::Host) was asked, about what, and why there is no answer.
#[derive(Debug)]
pub struct HostError {
    operation: &'static str,
    object: String,
    cause: Cause,
    hint: Option<String>,
}

/// Why a [`Host`](super::Host) has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The name service has no such name; its own words.
    UnknownName(String),
    /// The name exists, but has no address of the family asked for.
    NoAddressInFamily,
    /// It is an address, of the other family than the one asked for.
    OtherFamily {
        /// It is IPv4.
        v4: bool,
    },
    /// It can be neither a name nor an address: what it is.
    NoHost(String),
    /// No interface has this name or index.
    NoSuchInterface,
    /// The interface is administratively down.
    InterfaceDown,
    /// The interface is up, but its link is not.
    NoCarrier,
    /// The interface has no link layer address of six bytes to put into an Ethernet frame.
    NotEthernet,
    /// No route matches.
    NoRoute,
    /// A route says `unreachable`.
    Unreachable,
    /// A route says `blackhole`.
    Blackhole,
    /// A route says `prohibit`.
    Prohibited,
    /// The destination is an address of this host: nothing would reach a wire.
    OwnAddress {
        /// The interface the kernel names for it.
        interface: String,
    },
    /// The source address asked for is not an address of this host.
    ForeignSource(IpAddr),
    /// Every request for the link layer address went unanswered; the kernel gave up.
    NeighbourFailed {
        /// How long it was tried.
        waited: Duration,
    },
    /// The time allowed ran out before the neighbour answered or the kernel gave up.
    NeighbourTimeout {
        /// How long it was tried.
        waited: Duration,
    },
    /// A message of the kernel that makes no sense here.
    Protocol(String),
    /// The system's own error.
    Os(io::Error),
}

/// Most interfaces that a hint names.
const MOST_NAMES: usize = 8;

impl HostError {
    /// An error of `operation` (`"resolve"`, `"find a route to"`) about `object`.
    pub fn new(operation: &'static str, object: impl fmt::Display, cause: Cause) -> Self {
        HostError { operation, object: object.to_string(), cause, hint: None }
    }

    /// No interface is called `name`; `others` are. The hint has the nearest first, and not all of
    /// very many.
    pub fn no_interface<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Self {
        let shown = if name.is_empty() { "''" } else { name };
        let error = HostError::new("find interface", shown, Cause::NoSuchInterface);
        let others: Vec<&str> = others.into_iter().collect();
        if others.is_empty() {
            return error.with_hint("there are none");
        }
        let mut names = near(name, others.iter().copied());
        for other in &others {
            if !names.contains(other) {
                names.push(other);
            }
        }
        let more = if names.len() > MOST_NAMES { ", …; `ip -br link` lists all" } else { "" };
        names.truncate(MOST_NAMES);
        error.with_hint(format!("there are: {}{more}", names.join(", ")))
    }

    /// The same error with a next step that the caller knows and the cause alone does not tell.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was being done, to be read after "cannot".
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The interface, name or address it was about.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Why it has no answer.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// True where the answer is "no" (unreachable, unanswered), false where there is no answer
    /// (unknown name, no such interface, the system's own error).
    pub fn is_negative(&self) -> bool {
        matches!(
            self.cause,
            Cause::NoRoute
                | Cause::Unreachable
                | Cause::Blackhole
                | Cause::Prohibited
                | Cause::NeighbourFailed { .. }
                | Cause::NeighbourTimeout { .. }
        )
    }

    /// The next step, where there is one.
    pub fn hint(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        let hint = match &self.cause {
            Cause::UnknownName(_) => {
                format!("`getent ahosts {}` asks the same question", self.object)
            }
            Cause::NoAddressInFamily => "leave out -4 or -6, or give an address".into(),
            Cause::OtherFamily { v4: true } => "leave out -6, or give an IPv6 address".into(),
            Cause::OtherFamily { v4: false } => "leave out -4, or give an IPv4 address".into(),
            Cause::NoSuchInterface => "`ip -br link` lists the interfaces".into(),
            Cause::InterfaceDown => format!("`ip link set {} up`", self.object),
            Cause::NoCarrier => "is the other end of the link up?".into(),
            Cause::NoRoute => format!("`ip route get {}` asks the same question", self.object),
            Cause::Unreachable | Cause::Blackhole | Cause::Prohibited => {
                format!("`ip route get {} fibmatch` names the route", self.object)
            }
            Cause::OwnAddress { .. } => "choose an address of another host".into(),
            Cause::ForeignSource(_) => "`ip -br address` lists this host's addresses".into(),
            Cause::NeighbourFailed { .. } => "is the host up, and on this link?".into(),
            Cause::NeighbourTimeout { .. } => "is the host up? A longer timeout may help".into(),
            Cause::Os(source) => return os_hint(source),
            _ => return None,
        };
        Some(hint)
    }
}

fn os_hint(source: &io::Error) -> Option<String> {
    match source.raw_os_error()? {
        libc::EPERM => Some("needs CAP_NET_ADMIN".into()),
        libc::ENOBUFS => Some(
            "the neighbour table is full: raise net.ipv4.neigh.default.gc_thresh3 (or net.ipv6)"
                .into(),
        ),
        libc::EMFILE | libc::ENFILE => {
            Some("raise the limit of open files: `ulimit -n 1024`".into())
        }
        _ => None,
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.object, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName(words) => write!(f, "{words}"),
            Self::NoAddressInFamily => write!(f, "it has no address of the family asked for"),
            Self::OtherFamily { v4: true } => write!(f, "it is IPv4, and -6 asks for IPv6"),
            Self::OtherFamily { v4: false } => write!(f, "it is IPv6, and -4 asks for IPv4"),
            Self::NoHost(what) => write!(f, "{what}"),
            Self::NoSuchInterface => write!(f, "no such interface"),
            Self::InterfaceDown => write!(f, "the interface is down"),
            Self::NoCarrier => write!(f, "the interface has no carrier"),
            Self::NotEthernet => write!(f, "the interface has no Ethernet address"),
            Self::NoRoute => write!(f, "no route"),
            Self::Unreachable => write!(f, "the route says unreachable"),
            Self::Blackhole => write!(f, "the route is a blackhole"),
            Self::Prohibited => write!(f, "the route prohibits it"),
            Self::OwnAddress { interface } => write!(
                f,
                "it is this host's own address: AF_XDP on {interface} cannot see such packets"
            ),
            Self::ForeignSource(source) => write!(f, "{source} is not an address of this host"),
            Self::NeighbourFailed { waited } => {
                write!(f, "nobody answered, and the kernel gave up after {waited:.1?}")
            }
            Self::NeighbourTimeout { waited } => write!(f, "no answer within {waited:.1?}"),
            Self::Protocol(words) => write!(f, "{words}"),
            Self::Os(source) => f.write_str(&errno_text(source)),
        }
    }
}

impl From<HostError> for FluxError {
    fn from(error: HostError) -> Self {
        let kind = match &error.cause {
            Cause::NoSuchInterface
            | Cause::InterfaceDown
            | Cause::NoCarrier
            | Cause::NotEthernet => ErrorKind::Device,
            Cause::ForeignSource(_) | Cause::OtherFamily { .. } | Cause::NoHost(_) => {
                ErrorKind::Config
            }
            Cause::Os(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::Permission
            }
            Cause::Os(_) | Cause::Protocol(_) => ErrorKind::System,
            _ => ErrorKind::Host,
        };
        let (what, hint) = (format!("cannot {} {}", error.operation, error.object), error.hint());
        let converted = FluxError::new(kind, what, error.cause.to_string());
        let converted = match error.cause {
            Cause::Os(source) => converted.with_source(source),
            _ => converted,
        };
        match hint {
            Some(hint) => converted.with_hint(hint),
            None => converted,
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Os(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_object_and_cause_on_one_line() {
        let error = HostError::new("find a route to", "192.0.2.1", Cause::NoRoute);
        assert_eq!(error.to_string(), "cannot find a route to 192.0.2.1: no route");
        assert_eq!(
            error.hint().as_deref(),
            Some("`ip route get 192.0.2.1` asks the same question")
        );
        assert!(error.is_negative());
    }

    #[test]
    fn a_given_hint_wins_over_the_one_of_the_cause() {
        let error = HostError::new("resolve", "x", Cause::NoAddressInFamily).with_hint("use -6");
        assert_eq!(error.hint().as_deref(), Some("use -6"));
    }

    #[test]
    fn the_interfaces_that_there_are_are_named_the_nearest_first() {
        let hint = |names: &[&str]| HostError::no_interface("eth", names.iter().copied()).hint();
        assert_eq!(hint(&["lo", "eth1"]).as_deref(), Some("there are: eth1, lo"));
        assert_eq!(hint(&["lo", "wlan0"]).as_deref(), Some("there are: lo, wlan0"));
        assert_eq!(hint(&[]).as_deref(), Some("there are none"));
        let many: Vec<String> = (0..9).map(|n| format!("tap{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let all = hint(&many).unwrap();
        assert!(all.contains("tap7, …; `ip -br link`") && !all.contains("tap8"), "{all}");
    }

    #[test]
    fn a_flux_error_keeps_message_hint_and_kind() {
        let flux = FluxError::from(HostError::new("find interface", "x0", Cause::NoSuchInterface));
        assert_eq!(flux.to_string(), "cannot find interface x0: no such interface");
        assert_eq!(flux.hint(), Some("`ip -br link` lists the interfaces"));
        assert_eq!(flux.kind(), ErrorKind::Device);
        let source = io::Error::from_raw_os_error(libc::EPERM);
        let flux = FluxError::from(HostError::new("open", "a socket", Cause::Os(source)));
        assert_eq!((flux.kind(), flux.raw_os_error()), (ErrorKind::Permission, Some(libc::EPERM)));
    }

    #[test]
    fn the_systems_error_is_the_source() {
        let source = io::Error::from_raw_os_error(libc::EPERM);
        let error = HostError::new("open", "a netlink socket", Cause::Os(source));
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(error.hint().as_deref(), Some("needs CAP_NET_ADMIN"));
    }
}
