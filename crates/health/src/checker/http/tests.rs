use proptest::prelude::*;

use super::*;

#[test]
fn the_status_is_found() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n", Ok(Some(200))),
        ("HTTP/1.0 503 Service Unavailable\r\nX: y\r\n\r\nbody", Ok(Some(503))),
        // Without a reason, and without the space before it.
        ("HTTP/1.1 204 \r\n", Ok(Some(204))),
        ("HTTP/1.1 204\r\n", Ok(Some(204))),
        ("HTTP/1.1 200\n", Ok(Some(200))),
        // Interim answers come first.
        ("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\n", Ok(Some(200))),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", Ok(None)),
        ("HTTP/1.1 101 Switching Protocols\r\n", Ok(Some(101))),
        // More is needed.
        ("", Ok(None)),
        ("HTTP/1.", Ok(None)),
        ("HTTP/1.1 200", Ok(None)),
        ("HTTP/1.1 100 Continue\r\n", Ok(None)),
        // Not HTTP.
        ("SSH-2.0-OpenSSH_9.2\r\n", Err(Malformed::Version)),
        ("HTTP/2.0 200 OK\r\n", Err(Malformed::Version)),
        ("HTTP/1.x 200 OK\r\n", Err(Malformed::Version)),
        ("HTTP/1.1  200 OK\r\n", Err(Malformed::Status)),
        ("HTTP/1.1 OK\r\n", Err(Malformed::Status)),
        ("HTTP/1.1 2000 OK\r\n", Err(Malformed::Status)),
        ("HTTP/1.1 20 OK\r\n", Err(Malformed::Status)),
        ("HTTP/1.1 099 OK\r\n", Err(Malformed::Status)),
        ("HTTP/1.1 -20 OK\r\n", Err(Malformed::Status)),
    ] {
        assert_eq!(status(answer.as_bytes()), expected, "{answer:?}");
    }
}

#[test]
fn the_host_is_the_servers_address_unless_named() {
    for (address, host, expected) in [
        ("10.0.0.11:80", None, "10.0.0.11"),
        ("10.0.0.11:8080", None, "10.0.0.11:8080"),
        ("[fd00::11]:80", None, "[fd00::11]"),
        ("[fd00::11]:8080", None, "[fd00::11]:8080"),
        ("[fd00::11]:8080", Some("www.example.org"), "www.example.org"),
    ] {
        let request = request(address.parse().unwrap(), "/healthz?full=1", host);
        let mut lines = request.split("\r\n");
        assert_eq!(lines.next(), Some("GET /healthz?full=1 HTTP/1.1"));
        assert_eq!(lines.next(), Some(format!("Host: {expected}").as_str()));
        assert!(request.ends_with("\r\nConnection: close\r\n\r\n"));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(Some(status)) = status(&bytes) {
            prop_assert!((100..1000).contains(&status));
        }
    }

    /// A verdict on the first bytes of an answer is the verdict on all of it.
    #[test]
    fn a_verdict_does_not_change_with_more_bytes(
        code in 0..1200u16, interim in 0..3usize, tail in "[ -~\r\n]{0,20}", cut in 0..200usize
    ) {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(interim);
        let answer = format!("{interim}HTTP/1.1 {code}{tail}");
        let bytes = answer.as_bytes();
        let first = status(&bytes[..cut.min(bytes.len())]);
        if first != Ok(None) {
            prop_assert_eq!(first, status(bytes));
        }
    }
}
