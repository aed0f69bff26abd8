//! What the command line refuses, and how it says so.

mod support;

use std::net::TcpListener;

use support::output;

#[test]
fn bad_values_name_the_option_and_the_remedy() {
    for (argument, option, remedy) in [
        ("--latency=5", "--latency <DURATION>", "as in 250ms"),
        ("--jitter=-1s", "--jitter <DURATION>", "as in 250ms"),
        ("--start-delay=soon", "--start-delay <DURATION>", "as in 250ms"),
        ("--drain-timeout=x", "--drain-timeout <DURATION>", "as in 250ms"),
        ("--error-rate=2", "--error-rate <SHARE>", "from 0 (none) to 1 (all)"),
        ("--hang-rate=-1", "--hang-rate <SHARE>", "from 0 (none) to 1 (all)"),
        ("--body-size=1k", "--body-size <BYTES>", "whole number of bytes"),
        ("--listen=8484", "--listen <IP:PORT>", "0.0.0.0:8484"),
        ("--admin=no", "--admin <IP:PORT|off>", "or off"),
        ("--on-term=die", "--on-term <HOW>", "exit, drain, ignore"),
        ("--threads=0", "--threads <COUNT>", "1..=1024"),
        ("--nmae=x", "--nmae", "--help"),
    ] {
        let output = output(&[argument]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{argument}: {text}");
        assert!(text.contains(option) && text.contains(remedy), "{argument}: {text}");
    }
}

#[test]
fn bad_environment_is_refused_as_well() {
    let output = support::binary().env("APP_ERROR_RATE", "often").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("'often' for '--error-rate <SHARE>'"), "{text}");
}

#[test]
fn an_address_in_use_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (other, option) in [("--admin=off", "--listen"), ("--listen=127.0.0.1:0", "--admin")] {
        let output = output(&[other, option, &address]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "app-bin: cannot listen on {address}: address in use: choose another with {option}\n"
            )
        );
    }
}

#[test]
fn help_tells_units_defaults_and_environment() {
    let output = output(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for part in [
        "[env: APP_LATENCY]",
        "[default: 0.0.0.0:8484]",
        "--drain-timeout <DURATION>",
        "?latency=100ms",
        "/health/up",
        "SIGUSR1",
        "Exit status",
    ] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
}
