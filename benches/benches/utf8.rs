//! Validating text, beside simdutf8 and std, and unmasking it at the same time.

use benches::texts::{self, Text};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn utf8(criterion: &mut Criterion) {
    texts::assert_equal();
    for (name, sample) in texts::SAMPLES {
        let mut group = criterion.benchmark_group(format!("utf8, {name}"));
        for size in texts::SIZES {
            let mut text = Text::new(sample, size);
            group.throughput(Throughput::Bytes((text.len() * text.count()) as u64));
            for mut contender in texts::contenders() {
                group.bench_function(BenchmarkId::new(contender.name, size), |bencher| {
                    bencher.iter(|| contender.run(&mut text, 1));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, utf8);
criterion_main!(benches);
