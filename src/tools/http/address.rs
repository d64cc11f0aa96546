//! Where to serve.

use crate::error::{ErrorKind, FluxError, Result};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// What `--metrics` takes.
const RULE: &str = "must be a port, or an address and a port: 9100 is 127.0.0.1:9100, :9100 is that \
                    port of every IPv4 address; or such as [::1]:9100 or localhost:9100";

/// `9100`, `:9100`, `127.0.0.1:9100`, `[::1]:9100` or `localhost:9100` as an address. A port alone
/// is one of this machine's loopback, `:PORT` is on every IPv4 address.
///
/// # Errors
/// What is wrong with `text`, in words.
pub fn parse_address(text: &str) -> std::result::Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(RULE)?;
    let port: u16 = port.parse().map_err(|_| RULE)?;
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if host.contains([':', '/', '[', ']']) {
        return Err(RULE.to_owned());
    }
    let found = (host, port).to_socket_addrs().map(|mut all| all.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(format!("{host} has no address")),
        Err(error) => Err(format!("cannot find the address of {host}: {error}")),
    }
}

/// Listens on `address`.
///
/// # Errors
/// When the system refuses, with the next step.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there: choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "give an address of this machine and a free port",
        };
        let what = format!("cannot serve metrics on {address}");
        FluxError::new(ErrorKind::System, what, error.to_string()).with_hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_this_machine_and_a_colon_before_it_makes_it_everybodys() {
        for (text, want) in [
            ("9100", "127.0.0.1:9100"),
            (":9100", "0.0.0.0:9100"),
            ("0", "127.0.0.1:0"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[::1]:9100", "[::1]:9100"),
            ("[::]:9100", "[::]:9100"),
        ] {
            assert_eq!(parse_address(text), Ok(want.parse().unwrap()), "{text}");
        }
        let local = parse_address("localhost:9100").unwrap();
        assert!(local.ip().is_loopback() && local.port() == 9100, "{local}");
    }

    #[test]
    fn what_is_none_is_refused_with_what_is_taken() {
        for text in [
            "",
            ":",
            "x",
            "-1",
            "65536",
            ":65536",
            "127.0.0.1",
            "localhost:http",
            "127.0.0.1:",
            "::1:9100",
            "[::1]",
            "http://localhost:9100",
            "127.0.0.1:9100/metrics",
        ] {
            assert_eq!(parse_address(text), Err(RULE.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_address_in_use_says_so() {
        let listener = bind(parse_address("0").unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("in use"), "{text}");
        assert!(error.hint().unwrap().contains("another port"));
    }
}
