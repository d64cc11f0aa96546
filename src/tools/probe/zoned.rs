//! [`Zoned`]: an address as it can be given back: a link-local one with its zone.

use serde::{Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// An address that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zoned {
    /// The address.
    pub address: IpAddr,
    /// The interface that it was heard on, where the address means nothing without.
    pub zone: Option<Arc<str>>,
}

impl Zoned {
    /// `address`, which was heard on the interface `zone`.
    #[must_use]
    pub fn new(address: IpAddr, zone: &Arc<str>) -> Self {
        let near = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Self { address, zone: near.then(|| Arc::clone(zone)) }
    }
}

impl From<IpAddr> for Zoned {
    fn from(address: IpAddr) -> Self {
        Self { address, zone: None }
    }
}

impl PartialEq<IpAddr> for Zoned {
    fn eq(&self, other: &IpAddr) -> bool {
        self.address == *other
    }
}

impl fmt::Display for Zoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl Serialize for Zoned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_has_its_zone_and_no_other_has_one() {
        let zone = Arc::from("eth0");
        let shown = |text: &str| Zoned::new(text.parse().unwrap(), &zone).to_string();
        assert_eq!(shown("fe80::1"), "fe80::1%eth0");
        assert_eq!(
            (shown("2001:db8::1"), shown("10.0.0.1")),
            ("2001:db8::1".into(), "10.0.0.1".into())
        );
        let json = serde_json::to_value(Zoned::new("fe80::1".parse().unwrap(), &zone)).unwrap();
        assert_eq!(json, "fe80::1%eth0");
    }
}
