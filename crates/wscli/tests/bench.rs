//! `ws bench` on servers that echo, and on servers that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // this is a test

mod support;

use std::{net::TcpListener, sync::mpsc, time::Duration};

use serde_json::Value;
use support::{PATIENCE, Ran, Server, answering, ended, run, serving, ws};
use wstokio::CloseCode;

fn bench(url: &str, arguments: &[&str]) -> Ran {
    run(&[&["bench", url], arguments].concat(), b"")
}

#[track_caller]
fn json(url: &str, arguments: &[&str]) -> Value {
    let ran = bench(url, &[arguments, &["--json"]].concat());
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""), "{ran:?}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn every_message_is_counted_once_whatever_their_size_kind_and_number_in_flight() {
    let server = Server::start(&["echo"]);
    for (size, bytes) in [("0", 0), ("20", 20), ("1KiB", 1024), ("1MiB", 1 << 20)] {
        for kind in ["text", "binary"] {
            for (connections, in_flight) in [("1", "1"), ("3", "16")] {
                let messages = if bytes < 1 << 20 { 1000 } else { 50 };
                let result = json(
                    &server.url("/"),
                    &["--connections", connections, "--in-flight", in_flight, "--size", size]
                        .into_iter()
                        .chain([&*format!("--{kind}"), "--messages", &messages.to_string()])
                        .collect::<Vec<_>>(),
                );
                assert_eq!(result["messages"], messages, "{result}");
                assert_eq!((&result["size"], &result["kind"]), (&bytes.into(), &kind.into()));
                assert_eq!(
                    (&result["not_come_back"], &result["interrupted"]),
                    (&0.into(), &false.into())
                );
                assert_eq!(result["rate"], Value::Null);
                let latency = |name: &str| result["latency_ns"][name].as_u64().unwrap();
                assert!(0 < latency("min") && latency("min") <= latency("p50"), "{result}");
                assert!(latency("p99") <= latency("max"), "{result}");
            }
        }
    }
}

#[test]
fn it_measures_for_a_time_after_its_warm_up() {
    let server = Server::start(&["echo"]);
    let result = json(&server.url("/"), &["--duration", "0.05", "--warmup", "0.01"]);
    assert_eq!(result["seconds"], 0.05);
    assert!(result["messages"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn it_speaks_tls() {
    let server = Server::start(&["echo", "--tls-self-signed"]);
    let url = format!("wss://{}/", server.addr);
    let ran = bench(&url, &["--messages", "50", "--insecure", "--json"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let result: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(result["messages"], 50);
    bench(&url, &["--messages", "50", "--connections", "1"]).assert_fails_with(&["certificate"]);
}

#[test]
fn people_get_a_table() {
    let server = Server::start(&["echo"]);
    let ran = bench(&server.url("/"), &["--messages", "10", "--connections", "2"]);
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""));
    let table = ran.stdout();
    for words in ["2 connections", "1 in flight on each", "binary messages of 64 bytes"] {
        assert!(table.contains(words), "{table}");
    }
    for row in ["echoes ", "50 % ", "99.9 % ", "max ", "mean "] {
        assert!(table.contains(row), "no {row} in {table}");
    }
}

/// Sends nothing back until it has five messages.
fn late_server() -> String {
    serving(async |tcp| {
        let mut ws = wstokio::accept(tcp).await?;
        let mut first = Vec::new();
        while first.len() < 5 {
            first.push(ws.recv().await?.unwrap().to_owned());
        }
        for message in &first {
            ws.feed(message.as_message()).await?;
        }
        while let Some(message) = ws.recv().await? {
            let message = message.to_owned();
            ws.feed(message.as_message()).await?;
        }
        Ok(())
    })
}

#[test]
fn at_a_fixed_rate_a_latency_counts_from_when_the_message_was_due() {
    let result = json(&late_server(), &["--connections", "1", "--rate", "500", "--messages", "5"]);
    assert_eq!((&result["messages"], &result["rate"]), (&5.into(), &500.0.into()));
    // The first was due four times 2 ms before the fifth, without which it did not come back.
    let max = result["latency_ns"]["max"].as_u64().unwrap();
    assert!(max >= 8_000_000, "{result}");
    assert!(result["latency_ns"]["mean"].as_f64().unwrap() >= 4_000_000.0, "{result}");
}

#[test]
fn at_a_fixed_rate_a_message_that_could_not_be_sent_when_it_was_due_is_late() {
    let slow = Duration::from_millis(300);
    let url = serving(async move |tcp| {
        let mut ws = wstokio::accept(tcp).await?;
        let first = ws.recv().await?.unwrap().to_owned();
        tokio::time::sleep(slow).await;
        ws.send(first.as_message()).await?;
        while let Some(message) = ws.recv().await? {
            let message = message.to_owned();
            ws.send(message.as_message()).await?;
        }
        Ok(())
    });
    // More than may be under way: the second waits for the first.
    let arguments = ["--connections", "1", "--size", "5MiB", "--rate", "1000", "--messages", "2"];
    let result = json(&url, &arguments);
    let min = result["latency_ns"]["min"].as_u64().unwrap();
    assert!(min >= 299_000_000, "{result}");
}

#[test]
fn a_fixed_rate_goes_to_all_connections_in_turn() {
    let server = Server::start(&["echo"]);
    let arguments = ["--connections", "3", "--rate", "100000", "--messages", "100", "--text"];
    assert_eq!(json(&server.url("/"), &arguments)["messages"], 100);
}

#[test]
fn a_server_that_does_not_echo_is_told_from_one_that_does() {
    let silent = serving(async |tcp| {
        let mut ws = wstokio::accept(tcp).await?;
        while ws.recv().await?.is_some() {}
        Ok(())
    });
    bench(&silent, &["--connections", "1", "--timeout", "0.05"])
        .assert_fails_with(&["nothing came back for 0.05 s", "does the server echo"]);
    let greeting = serving(async |tcp| {
        let mut ws = wstokio::accept(tcp).await?;
        ws.send("hello").await?;
        while ws.recv().await?.is_some() {}
        Ok(())
    });
    bench(&greeting, &["--connections", "1"])
        .assert_fails_with(&["a text message of 5 bytes that is no echo", "ws echo"]);
}

#[test]
fn a_server_that_closes_is_told_with_its_reason_and_what_was_measured_until_then() {
    let url = serving(async |tcp| {
        let mut ws = wstokio::accept(tcp).await?;
        for _ in 0..3 {
            let message = ws.recv().await?.unwrap().to_owned();
            ws.send(message.as_message()).await?;
        }
        ws.close(CloseCode::GOING_AWAY, "enough").await
    });
    let ran = bench(&url, &["--connections", "1", "--warmup", "0", "--json"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("1001") && ran.stderr.contains("enough"), "{}", ran.stderr);
    let result: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(result["messages"], 3);
    assert_eq!(result["not_come_back"], 1);
}

#[test]
fn a_server_that_cannot_be_reached_is_one_sentence() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    bench(&format!("ws://127.0.0.1:{port}/"), &[]).assert_fails_with(&["nothing listens there"]);
    let (addr, _) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    bench(&format!("ws://{addr}/"), &["--connections", "1"])
        .assert_fails_with(&["404 Not Found", "check the path"]);
    bench("http://127.0.0.1/", &[]).assert_fails_with(&["ws://"]);
}

#[test]
fn a_time_that_never_ends_is_refused() {
    let server = Server::start(&["echo"]);
    for option in ["--duration", "--warmup", "--ramp-up", "--timeout"] {
        for seconds in ["31536001", "1e19", "1e400", "inf"] {
            let ran = bench(&server.url("/"), &[option, seconds]);
            assert_eq!(ran.status, Some(2), "{ran:?}");
            assert!(ran.stderr.contains("longer than a year"), "{ran:?}");
        }
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_prints_what_was_measured_so_far() {
    let (told, echoed) = mpsc::channel();
    let url = serving(async move |tcp| {
        let mut ws = wstokio::accept(tcp).await?;
        for number in 0.. {
            let Some(message) = ws.recv().await? else { break };
            let message = message.to_owned();
            if number == 100 {
                // It does not send this one back.
                told.send(()).unwrap();
            } else {
                ws.send(message.as_message()).await?;
            }
        }
        Ok(())
    });
    let child =
        ws(&["bench", &url, "--connections", "1", "--messages", "1000000"]).spawn().unwrap();
    echoed.recv_timeout(PATIENCE).unwrap();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let ran = ended(child);
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""));
    let table = ran.stdout();
    assert!(table.contains("echoes              100 "), "{table}");
    assert!(table.contains("1 messages have not come back"), "{table}");
    assert!(table.contains("stopped early"), "{table}");
}
