//! Prints what the head guard costs: `cargo run --release -p gateway --example guard_cost`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 200_000;

fn measure(what: &str, raw: &str) {
    let run = || {
        for _ in 0..ROUNDS {
            black_box(gateway::guard::check_stream(black_box(raw.as_bytes()))).expect("clean");
        }
    };
    run();
    let start = Instant::now();
    run();
    let ns = start.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("{what:28} {:>5} bytes {ns:>6} ns", raw.len());
}

fn main() {
    let token = "x".repeat(600);
    measure(
        "wrk's head",
        "GET /pets/1.0.0/pets HTTP/1.1\r\nHost: 127.0.0.1:8280\r\n\r\n",
    );
    let curl = "GET /pets/1.0.0/pets HTTP/1.1\r\nHost: 127.0.0.1:8280\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n";
    measure("curl's head", &format!("{curl}\r\n"));
    measure(
        "curl's head with a token",
        &format!("{curl}Authorization: Bearer {token}\r\n\r\n"),
    );
    let browser = "GET /pets/1.0.0/pets?limit=20 HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\n\
        Cache-Control: max-age=0\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nReferer: https://shop.example.com/orders\r\n\
        Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
    measure("a browser's head", browser);
}
