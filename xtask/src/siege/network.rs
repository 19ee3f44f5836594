//! The network itself fails: packets are lost, all of them for a while, and a peer dies behind that.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::target::Target;
use super::wire;
use crate::Result;
use crate::process::{find, run as run_command};

const CLIENTS: usize = 8;
const LOSS: Duration = Duration::from_secs(10);
const PARTITION: Duration = Duration::from_secs(30);
/// After so long a silence the server pings, and lets a peer go that does not answer for so long: its defaults.
const DETECTION: Duration = Duration::from_secs(25 + 20);

/// Under 5 % loss every echo is right; who waits outlives 30 seconds without any packet; a peer that has died
/// without a word is let go when its pong is due.
pub(super) fn failures(target: &Target) -> Result<String> {
    if find("iptables").is_none() {
        return Err("`iptables` was not found: install it and run the command again".to_owned());
    }
    let server = target.addr;
    let loss = Rule::add(&["-m", "statistic", "--mode", "random", "--probability", "0.05"])?;
    let echoes = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || talk(server, client))).collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| "an honest client has failed".to_owned())?)
            .sum::<Result<usize>>()
    })?;
    drop(loss);

    let mut survivor = wire::open(wire::dial(server)?, false)?;
    wire::echo(&mut survivor, b"before the partition")?;
    let partition = Rule::add(&[])?;
    thread::sleep(PARTITION);
    drop(partition);
    // The ping that got lost comes again, and is answered.
    let took = wire::echo(&mut survivor, b"after the partition")?;

    let last = Instant::now();
    let _partition = Rule::add(&[])?;
    // What it says at its end gets lost.
    drop(survivor);
    target.wait_for(0, (DETECTION + Duration::from_secs(1)).saturating_sub(last.elapsed()))?;
    Ok(format!(
        "{echoes} echoes right under 5 % loss, one {:.2} s after a partition of {} s, a dead peer let go after {:.1} s",
        took.as_secs_f64(),
        PARTITION.as_secs(),
        last.elapsed().as_secs_f64()
    ))
}

/// Compares echoes of many lengths for a while.
fn talk(server: SocketAddr, client: usize) -> Result<usize> {
    let start = Instant::now();
    let mut stream = wire::open(wire::dial(server)?, false)?;
    let mut echoes = 0;
    while start.elapsed() < LOSS {
        let len = (echoes * 7919 + client * 104_729) % 60_000;
        let payload: Vec<u8> = (0..len).map(|at| (at * 31 + echoes) as u8).collect();
        wire::echo(&mut stream, &payload)?;
        echoes += 1;
    }
    Ok(echoes)
}

/// A rule by which arriving packets are dropped, until it is dropped itself.
struct Rule(Vec<String>);

impl Rule {
    fn add(matching: &[&str]) -> Result<Self> {
        let mut rule = vec!["INPUT".to_owned()];
        rule.extend(matching.iter().map(|&word| word.to_owned()));
        rule.extend(["-j".to_owned(), "DROP".to_owned()]);
        run_command(Command::new("iptables").arg("-A").args(&rule))?;
        Ok(Self(rule))
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        let _ = run_command(Command::new("iptables").arg("-D").args(&self.0));
    }
}

/// Runs this program again in a network of its own, where nothing else is in its way, the buffers of the
/// kernel are small, and packets may be lost.
pub(super) fn in_a_namespace(arguments: &[String]) -> Result {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let is_root = crate::process::output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    run_command(command.arg("--").arg(program).args(arguments))
}

/// Makes the loopback of a new network work.
pub(super) fn set_up(folder: &Path) -> Result {
    run_command(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    // A peer that does not read is to be noticed before it has been sent megabytes.
    let path = folder.join("tcp_wmem");
    std::fs::write(&path, "4096 16384 65536\n")
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
