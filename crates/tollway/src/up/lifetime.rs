//! A process's life: start, signals, what comes to the upgrade socket, end.

use std::path::PathBuf;

use super::handover::{Ask, Asked, Door, Replied, Taking};
use super::running::{Running, announce};
use super::signals::{Signals, Wish};
use super::{Options, UpError, begin, logging, notify, part};

/// How the program's allocator gives back to the system what was freed.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All of it; called once, when the platform is ready.
    pub give_back: fn(),
    /// What the calling thread freed a while ago; called by each worker of the gateway, now and then.
    pub give_back_aged: fn(),
}

/// Runs the platform until SIGTERM or SIGINT, or until another process has taken over.
///
/// # Errors
/// [`UpError`] when it cannot start.
pub fn run(options: Options, memory: Memory) -> Result<(), UpError> {
    logging::start();
    // Before the file is replaced: then the system no longer knows under which name it was started.
    let binary = std::env::current_exe().map_err(part("own binary"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("tollway-control")
        .enable_all()
        .build()
        .map_err(part("control threads"))?;
    runtime.block_on(async {
        let mut signals = Signals::install().map_err(part("signals"))?;
        let resolved = options.clone().with_file()?;
        let taking = Taking::of_this_process(&resolved.data_dir())?;
        let mut running = begin::start(resolved, taking, memory.give_back_aged).await?;
        running.flags = options;
        announce(&running);
        (memory.give_back)();
        notify::tell(&format!("MAINPID={}\nREADY=1", std::process::id()));
        live(running, &mut signals, binary).await;
        Ok(())
    })
}

/// Until the end.
async fn live(mut running: Running, signals: &mut Signals, binary: PathBuf) {
    let mut door = match Door::open(&running.door()) {
        Ok(door) => Some(door),
        Err(error) => {
            tracing::warn!(%error, "this platform cannot be asked to upgrade or to reload");
            None
        }
    };
    loop {
        let asked = async {
            match &mut door {
                Some(door) => door.asked().await,
                None => std::future::pending().await,
            }
        };
        let asked: Asked = tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => break,
                Wish::Reload => {
                    // The log says how it went.
                    let _ = reload(&mut running);
                    continue;
                }
            },
            asked = asked => asked,
        };
        let upgrade = match &asked.ask {
            Ask::Reload => {
                let outcome = reload(&mut running);
                asked.answer(outcome.map_or_else(Replied::Refused, Replied::Done));
                continue;
            }
            Ask::Upgrade(upgrade) => upgrade,
        };
        let Some(open) = &mut door else { continue };
        let handed = tokio::select! {
            handed = running.hand_over(open, upgrade, &binary) => handed,
            // What was begun ends with its future.
            () = signals.stop() => break,
        };
        match handed {
            Ok((id, link)) => {
                asked.answer(Replied::Done(format!("process {id} serves")));
                notify::tell(&format!("MAINPID={id}"));
                tracing::info!(id, "another process has taken over: calls in flight finish");
                drop(door);
                let cut = running.end_handed_over().await;
                tracing::info!(cut, "stopped");
                drop(link);
                return;
            }
            Err(error) => {
                tracing::error!(%error, "no upgrade: this process goes on");
                asked.answer(Replied::Refused(error));
            }
        }
    }
    tracing::info!("stopping: calls in flight finish");
    notify::tell("STOPPING=1");
    let cut = running.shutdown().await;
    tracing::info!(cut, "stopped");
}

/// Reads files again; the service manager hears when that begins and when it is done.
fn reload(running: &mut Running) -> Result<String, String> {
    notify::tell("RELOADING=1");
    let outcome = running.reload();
    notify::tell("READY=1");
    outcome
}
