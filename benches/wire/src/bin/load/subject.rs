//! The process that is measured.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use wire::Result;

/// A server or a client, killed when dropped.
pub(crate) struct Subject {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Subject {
    /// Starts a program.
    pub(crate) fn start(command: &[String]) -> Result<Self> {
        let (program, arguments) = command.split_first().ok_or("no program to measure")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("a child process has no stdout")?;
        Ok(Self { child, stdout: BufReader::new(stdout) })
    }

    /// Where the server listens, as it says in the first line it prints.
    pub(crate) fn addr(&mut self) -> Result<SocketAddr> {
        let line = self.line()?;
        let addr = line.strip_prefix("listening on ").and_then(|addr| addr.trim().parse().ok());
        addr.ok_or_else(|| format!("the server printed {line:?} and no address").into())
    }

    /// The bytes of heap it holds, and the bytes of memory that are its own.
    pub(crate) fn memory(&mut self) -> Result<(i64, i64)> {
        if let Some(stdin) = &mut self.child.stdin {
            stdin.write_all(b"\n")?;
        }
        let heap = self.line()?.trim().parse()?;
        let all = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let own = all.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let own =
            own.and_then(|own| own.split_whitespace().next()).ok_or("no memory of its own")?;
        Ok((heap, own.parse::<i64>()? * 1024))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line)
    }

    /// What it has used of the processor until now.
    fn cpu(&self) -> Result<Cpu> {
        let folder = format!("/proc/{}", self.child.id());
        let mut ns = 0.0;
        for task in fs::read_dir(format!("{folder}/task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            ns += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
        }
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name of the program may hold anything but ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let [user, system] = [fields.get(11), fields.get(12)].map(|field| {
            let field = field.copied().unwrap_or_default();
            field.parse::<f64>()
        });
        Ok(Cpu { ns, user: user?, system: system? })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used of the processor: nanoseconds, and how they divide, in ticks.
#[derive(Clone, Copy)]
struct Cpu {
    ns: f64,
    user: f64,
    system: f64,
}

/// Counts for so long, after a tenth of that to warm up.
pub(crate) struct Meter {
    run: Duration,
    warm: Instant,
    begun: Option<(Instant, Cpu)>,
    count: u64,
}

impl Meter {
    pub(crate) fn new(run: Duration) -> Self {
        Self { run, warm: Instant::now() + run / 10, begun: None, count: 0 }
    }

    /// Takes what was done since the last call. Once the time is over, it prints what was measured, and
    /// says so.
    pub(crate) fn is_over(&mut self, done: usize, subject: &Subject) -> Result<bool> {
        self.count += done as u64;
        let now = Instant::now();
        let Some((begun, before)) = self.begun else {
            if now >= self.warm {
                (self.count, self.begun) = (0, Some((now, subject.cpu()?)));
            }
            return Ok(false);
        };
        let seconds = now.duration_since(begun).as_secs_f64();
        if seconds < self.run.as_secs_f64() {
            return Ok(false);
        }
        let after = subject.cpu()?;
        let [user, system] = [after.user - before.user, after.system - before.system];
        let (ns, count) = (after.ns - before.ns, self.count as f64);
        let user_ns = ns * user / (user + system).max(1.0);
        println!("rate {}", count / seconds);
        println!("user_ns {}", user_ns / count.max(1.0));
        println!("system_ns {}", (ns - user_ns) / count.max(1.0));
        println!("busy {}", ns / 1e9 / seconds);
        Ok(true)
    }
}
