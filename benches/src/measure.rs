//! A clock for a noisy machine: the contenders take turns, many times, and the median turn counts.

use std::time::{Duration, Instant};

/// The turns that each contender has.
const TURNS: usize = 31;

/// How long one turn takes, about.
const TURN: Duration = Duration::from_micros(400);

/// So many passes before the clock starts, at least: what the contender before has left in the caches
/// takes more than one to go, where a pass is as large as they are.
const WARM_UP: u32 = 4;

/// Something to measure.
pub struct Contender<'a, State> {
    /// What it is called.
    pub name: &'static str,
    pass: Passes<'a, State>,
    passes: u32,
    times: Vec<f64>,
}

/// Does it so many times.
type Passes<'a, State> = Box<dyn FnMut(&mut State, u32) + 'a>;

impl<'a, State> Contender<'a, State> {
    /// A contender whose `pass` does all there is in the state once.
    pub fn new(name: &'static str, mut pass: impl FnMut(&mut State) + 'a) -> Self {
        // The loop is in here so that a pass can be inlined into it.
        let pass = Box::new(move |state: &mut State, passes| {
            for _ in 0..passes {
                pass(state);
            }
        });
        Self { name, pass, passes: 1, times: Vec::new() }
    }

    /// Does it so many times.
    pub fn run(&mut self, state: &mut State, passes: u32) {
        (self.pass)(state, passes);
    }
}

/// The median time of one pass of each contender, in nanoseconds.
pub fn medians<State>(state: &mut State, contenders: &mut [Contender<'_, State>]) -> Vec<f64> {
    for contender in &mut *contenders {
        contender.times.clear();
        contender.passes = 1;
        loop {
            let time = turn(contender, state);
            if time >= TURN / 2 || contender.passes >= 1 << 20 {
                break;
            }
            contender.passes *= 2;
        }
    }
    for _ in 0..TURNS {
        for contender in &mut *contenders {
            let time = turn(contender, state);
            contender.times.push(time.as_nanos() as f64 / f64::from(contender.passes));
        }
    }
    contenders
        .iter_mut()
        .map(|contender| {
            contender.times.sort_by(f64::total_cmp);
            contender.times[TURNS / 2]
        })
        .collect()
}

fn turn<State>(contender: &mut Contender<'_, State>, state: &mut State) -> Duration {
    (contender.pass)(state, WARM_UP);
    let start = Instant::now();
    (contender.pass)(state, contender.passes);
    start.elapsed()
}
