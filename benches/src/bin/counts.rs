//! Work to count the instructions of: `counts NAME SIZE PASSES`, under callgrind. `cargo xtask
//! counts` runs it with two numbers of passes; the difference is what the passes cost.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use benches::frames::{self, Frames, headers};
use wsframe::{Header, Instance, OpCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, size, passes] = &args[..] else {
        frames::assert_equal();
        headers::assert_right();
        eprintln!("usage: counts NAME SIZE PASSES");
        return ExitCode::FAILURE;
    };
    let (Ok(size), Ok(passes)) = (size.parse(), passes.parse()) else {
        eprintln!("SIZE and PASSES are numbers");
        return ExitCode::FAILURE;
    };
    let of_instance = name
        .split_once('-')
        .and_then(|(what, instance)| Some((what, Instance::all().find(|it| it.name == instance)?)));
    if let Some((what, instance)) = of_instance {
        kernel(what, instance, size as usize, passes);
        return ExitCode::SUCCESS;
    }
    match &**name {
        "call" => {
            for _ in 0..passes {
                black_box(headers::nothing(black_box(&headers::MASKED), black_box(16 << 20)));
            }
        }
        "decode" => {
            for _ in 0..passes {
                black_box(headers::decode(black_box(&headers::MASKED), black_box(16 << 20)));
            }
        }
        "encode" => {
            let header = Header::new(OpCode::Binary, size);
            for _ in 0..passes {
                black_box(headers::encode(black_box(&header)));
            }
        }
        name => {
            let Some(mut contender) = frames::contender(name) else {
                eprintln!("NAME is call, decode, encode or one of {:?}", frames::NAMES);
                return ExitCode::FAILURE;
            };
            contender.run(&mut Frames::new(size as usize), passes);
        }
    }
    ExitCode::SUCCESS
}

/// Masks a payload with one instance of the kernels, or validates it.
fn kernel(what: &str, instance: Instance, size: usize, passes: u32) {
    let src = vec![b'x'; size];
    let mut dst = src.clone();
    for _ in 0..passes {
        match what {
            "apply" => instance.apply(black_box([0; 4]), black_box(&mut dst)),
            "copy" => instance.copy(black_box([0; 4]), black_box(&src), &mut dst),
            "valid" => assert!(instance.valid(black_box(&src))),
            _ => assert!(instance.apply_text(black_box([0; 4]), black_box(&mut dst))),
        }
    }
}
