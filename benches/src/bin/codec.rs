//! Measures masking, UTF-8 and frames side by side, and prints tables in Markdown. `cargo xtask
//! bench codec` runs it and keeps what it prints.

#![forbid(unsafe_code)]

use benches::frames::{self, Frames, headers};
use benches::masks::{self, Payloads};
use benches::measure::{Contender, medians};
use benches::texts::{self, Text};

fn main() {
    masks::assert_equal();
    texts::assert_equal();
    headers::assert_right();
    frames::assert_equal();
    masking();
    text();
    header();
    frame();
}

/// One row per size and start; the times of memcpy and of us, then ratios.
fn masking() {
    println!("## Masking\n");
    println!(
        "ns per payload, and each contender's time as a multiple of memcpy's of the same bytes."
    );
    println!("`+1`: it starts one byte after a multiple of 64.\n");
    let mut contenders = masks::contenders();
    print!("| masked, bytes | memcpy, ns | ours, ns |");
    names(3, &contenders[1..]);
    for size in masks::SIZES {
        for offset in [0, 1] {
            let mut payloads = Payloads::new(size, offset);
            let count = payloads.count() as f64;
            let times = medians(&mut payloads, &mut contenders);
            let start = if offset == 0 { "" } else { " +1" };
            print!("| {size}{start} | {:.2} | {:.2} |", times[0] / count, times[1] / count);
            ratios(&times[1..], times[0]);
        }
    }
}

/// One row per text and size: the times of simdutf8 and of us, then ratios.
fn text() {
    println!("\n## UTF-8\n");
    println!(
        "ns per text, each contender's time as a multiple of simdutf8's of the whole text, and"
    );
    println!(
        "unmasking with validating as a multiple of the slower of the two alone; and so what a"
    );
    println!(
        "connection takes to receive text, of validating or of receiving it as binary. What is"
    );
    println!("delivered has become a `&str`.\n");
    let mut contenders = texts::contenders();
    print!("| text, bytes | simdutf8, ns | ours, ns | both / slower | received / slower |");
    names(5, &contenders[1..]);
    for (name, sample) in texts::SAMPLES {
        for size in texts::SIZES {
            let mut text = Text::new(sample, size);
            let count = text.count() as f64;
            let times = medians(&mut text, &mut contenders);
            let both = times[5] / times[2].max(times[4]);
            let (first, ours) = (times[0] / count, times[2] / count);
            let received = times[7] / times[2].max(times[6]);
            print!("| {name} {size} | {first:.2} | {ours:.2} | {both:.2} | {received:.2} |");
            ratios(&times[1..], times[0]);
        }
    }
}

fn header() {
    println!("\n## Headers of frames of 20 bytes, masked when decoded\n");
    println!("| | ns |\n|---|---|");
    let mut contenders = headers::contenders();
    let times = medians(&mut (), &mut contenders);
    for (contender, time) in contenders.iter().zip(times) {
        println!("| {} | {time:.2} |", contender.name);
    }
}

fn frame() {
    println!("\n## Frames: decode, unmask, encode\n");
    println!(
        "ns per frame in memory, with the copying of the input and of the output; fastwebsockets"
    );
    println!("has no public decoder and is spared it.\n");
    let mut contenders: Vec<_> =
        frames::NAMES.into_iter().skip(1).filter_map(frames::contender).collect();
    print!("| frame, bytes | ours, ns |");
    names(2, &contenders[1..]);
    for size in frames::SIZES {
        let mut state = Frames::new(size);
        let times = medians(&mut state, &mut contenders);
        print!("| {size} | {:.1} |", times[0] / state.count() as f64);
        ratios(&times[1..], times[0]);
    }
}

/// The rest of a table's head, and the line under it.
fn names<State>(before: usize, contenders: &[Contender<'_, State>]) {
    for contender in contenders {
        print!(" {} |", contender.name);
    }
    println!("\n{}|", "|---".repeat(before + contenders.len()));
}

/// The rest of a row.
fn ratios(times: &[f64], reference: f64) {
    for time in times {
        print!(" {:.2} |", time / reference);
    }
    println!();
}
