//! Headers alone, and whole frames: decode, unmask, encode.

use benches::frames::{self, Frames, headers};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn header(criterion: &mut Criterion) {
    headers::assert_right();
    let mut group = criterion.benchmark_group("header");
    group.throughput(Throughput::Elements(1));
    for mut contender in headers::contenders() {
        group.bench_function(contender.name, |bencher| {
            bencher.iter(|| contender.run(&mut (), 1));
        });
    }
    group.finish();
}

fn frame(criterion: &mut Criterion) {
    frames::assert_equal();
    let mut group = criterion.benchmark_group("frame");
    for size in frames::SIZES {
        let mut state = Frames::new(size);
        group.throughput(Throughput::Bytes((size * state.count()) as u64));
        for mut contender in frames::NAMES.into_iter().filter_map(frames::contender) {
            group.bench_function(BenchmarkId::new(contender.name, size), |bencher| {
                bencher.iter(|| contender.run(&mut state, 1));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, header, frame);
criterion_main!(benches);
