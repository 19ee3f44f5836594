//! `server NAME each|batched|fan`: a server on one thread, until it is killed. To a line on its input it
//! answers with the bytes of heap it holds.

#![forbid(unsafe_code)]

use std::{env, io, thread};

use wire::{Result, alloc, servers};

fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, mode] = &arguments[..] else { return Err("server NAME each|batched|fan".into()) };
    let mode = match &**mode {
        "each" => servers::Mode::Each,
        "batched" => servers::Mode::Batched,
        _ => servers::Mode::Fan,
    };
    if env::var_os("WIRE_COUNT").is_some() {
        alloc::count();
        thread::spawn(|| {
            while io::stdin().lines().next().is_some() {
                println!("{}", alloc::live());
            }
        });
    }
    servers::run(name, mode, |addr| {
        println!("listening on {addr}");
        Ok(())
    })
}
