//! Masking over sizes and unaligned starts, beside memcpy of the same bytes.

use benches::masks::{self, Payloads};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn mask(criterion: &mut Criterion) {
    masks::assert_equal();
    for offset in [0, 1] {
        let mut group = criterion.benchmark_group(format!("mask, start {offset}"));
        for size in masks::SIZES {
            let mut payloads = Payloads::new(size, offset);
            group.throughput(Throughput::Bytes((size * payloads.count()) as u64));
            for mut contender in masks::contenders() {
                group.bench_function(BenchmarkId::new(contender.name, size), |bencher| {
                    bencher.iter(|| contender.run(&mut payloads, 1));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, mask);
criterion_main!(benches);
