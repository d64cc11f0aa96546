//! A line of the control socket: any bytes are a request that can be sent again, or an error with a
//! next step.
#![no_main]

use fluxnet::tools::control::socket::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match Request::parse(bytes) {
    Ok(request) => {
        let line = request.line();
        assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        assert_eq!(Request::parse(&line).unwrap(), request);
    }
    Err(error) => assert!(error.hint().is_some(), "{error} without a next step"),
});
