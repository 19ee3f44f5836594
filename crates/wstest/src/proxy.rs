//! A proxy between a client and a server over loopback, which does to the bytes of each direction what
//! a plan says: by counts of bytes, not by time, so that it is the same in every run.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, Condvar, Mutex, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

/// What becomes of the bytes of one direction, counted from 0.
#[derive(Clone, Debug)]
pub enum Plan {
    /// They go on as they come.
    Pass,
    /// They go on in pieces of so many bytes at most, each in a write of its own.
    Split(usize),
    /// Those of the range are kept until the last of them has come, and go on in one write.
    Hold(Range<usize>),
    /// From this one on none goes on and none is read. Both connections stay open.
    Stall(usize),
    /// In place of this one the direction ends. What follows it is read and dropped.
    End(usize),
    /// In place of this one both connections are reset.
    Reset(usize),
}

/// Longer than anything here takes: when it is over, what is waited for does not come.
const LONG: Duration = Duration::from_secs(60);

/// One connection through a proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Weak, so that the connections are closed when both threads are done with them.
    ends: Weak<Ends>,
    threads: [JoinHandle<Vec<u8>>; 2],
}

/// The proxy's ends of its two connections.
#[derive(Debug)]
struct Ends {
    client: TcpStream,
    server: TcpStream,
    reset: Mutex<bool>,
    when_reset: Condvar,
}

impl Proxy {
    /// Connects to the server at `onward`, and gives the client's end of a connection to it. The first
    /// plan is for the direction from the client to the server.
    pub fn connect(onward: SocketAddr, plans: [Plan; 2]) -> (TcpStream, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let outer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = Arc::new(Ends {
            client: listener.accept().unwrap().0,
            server: TcpStream::connect(onward).unwrap(),
            reset: Mutex::new(false),
            when_reset: Condvar::new(),
        });
        for stream in [&outer, &ends.client, &ends.server] {
            stream.set_nodelay(true).unwrap();
        }
        for stream in [&ends.client, &ends.server] {
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream.set_write_timeout(Some(LONG)).unwrap();
        }
        let weak = Arc::downgrade(&ends);
        let [there, back] = plans;
        let other = ends.clone();
        let threads = [
            thread::spawn(move || ends.forward(&ends.client, &ends.server, &there)),
            thread::spawn(move || other.forward(&other.server, &other.client, &back)),
        ];
        (outer, Self { ends: weak, threads })
    }

    /// Resets both connections, if there still are any.
    pub fn reset(&self) {
        if let Some(ends) = self.ends.upgrade() {
            ends.reset();
        }
    }

    /// Waits until both directions have ended; the bytes of each that went on.
    pub fn finish(self) -> [Vec<u8>; 2] {
        self.threads.map(|thread| thread.join().unwrap())
    }
}

impl Ends {
    fn forward(&self, from: &TcpStream, mut to: &TcpStream, plan: &Plan) -> Vec<u8> {
        let mut passed = Vec::new();
        // What was read and is not known to go on.
        let mut kept = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let allowed = match *plan {
                Plan::Stall(at) | Plan::End(at) | Plan::Reset(at) => at - passed.len(),
                Plan::Hold(ref range) if passed.len() + kept.len() < range.end => {
                    range.start.saturating_sub(passed.len())
                }
                _ => usize::MAX,
            };
            let next: Vec<u8> = kept.drain(..allowed.min(kept.len())).collect();
            let size = if let Plan::Split(size) = *plan { size } else { usize::MAX };
            for piece in next.chunks(size) {
                // Who is gone takes nothing.
                let _ = to.write_all(piece);
            }
            passed.extend(next);
            match *plan {
                Plan::Stall(at) if at == passed.len() => {
                    self.wait_for_reset();
                    return passed;
                }
                Plan::End(_) if !kept.is_empty() => {
                    let _ = to.shutdown(Shutdown::Write);
                    while self.read(from, &mut buffer) > 0 {}
                    return passed;
                }
                Plan::Reset(_) if !kept.is_empty() => {
                    self.reset();
                    return passed;
                }
                _ => {}
            }
            let len = self.read(from, &mut buffer);
            if len == 0 {
                let _ = to.write_all(&kept);
                if !*self.reset.lock().unwrap() {
                    let _ = to.shutdown(Shutdown::Write);
                }
                return passed;
            }
            kept.extend(&buffer[..len]);
        }
    }

    /// How many bytes came; 0 at the end. A reset of one connection becomes one of both.
    fn read(&self, mut from: &TcpStream, buffer: &mut [u8]) -> usize {
        match from.read(buffer) {
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.reset();
                panic!("nobody sends or ends anything: it hangs");
            }
            Err(_) => {
                self.reset();
                0
            }
        }
    }

    /// The connections are reset when they are closed, and they are closed once both threads have
    /// ended, which this brings about: to end the reading direction says nothing to the other side.
    fn reset(&self) {
        *self.reset.lock().unwrap() = true;
        self.when_reset.notify_all();
        for stream in [&self.client, &self.server] {
            socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    fn wait_for_reset(&self) {
        let reset = self.reset.lock().unwrap();
        let (reset, _) = self.when_reset.wait_timeout_while(reset, LONG, |reset| !*reset).unwrap();
        assert!(*reset, "nobody resets what is stalled: it hangs");
    }
}
