//! A worker: one process, one thread, one share of the load.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use crate::behaviour;
use crate::clock::Clock;
use crate::device;
use crate::link::{self, Command, Said};
use crate::measure::{ErrorKind, Phase};
use crate::plan::{MessagesPlan, Pace, Plan};
use crate::report::Verdict;
use crate::sender;
use crate::settle;
use crate::setup;
use crate::world::World;

/// Between two ticks.
const TICK: Duration = Duration::from_secs(1);

/// Runs on standard input and output until the plan is done or the coordinator is gone.
///
/// # Errors
/// When the system gives no runtime, or the coordinator is gone.
pub fn main() -> Result<()> {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        // One task less is another load than was asked for.
        std::process::abort();
    }));
    link::say(&Said::Hello { version: env!("CARGO_PKG_VERSION").to_owned() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let mut commands = link::commands();
    let done = LocalSet::new().block_on(&runtime, async {
        match commands.recv().await {
            Some(Command::Plan(plan)) => run(*plan, commands).await,
            _ => bail!("a worker is started by a coordinator, and gets its plan from it"),
        }
    });
    match done {
        Ok(verdict) => link::say(&Said::Done(verdict.map(Box::new))),
        Err(error) => link::say(&Said::Problem(format!("{error:#}"))),
    }
}

async fn run(plan: Plan, mut commands: mpsc::Receiver<Command>) -> Result<Option<Verdict>> {
    let world = World::new(plan).await?;
    tokio::task::spawn_local(tell(Rc::clone(&world)));
    tokio::task::spawn_local(behaviour::run(Rc::clone(&world)));
    begin(&world, Phase::Setup)?;
    tokio::select! {
        prepared = prepare(&world) => prepared?,
        _ = commands.recv() => bail!("stopped before the load began"),
    }
    link::say(&Said::Ready)?;
    gone(commands.recv().await)?;
    tokio::select! {
        loaded = load(&world) => loaded?,
        command = commands.recv() => {
            gone(command)?;
            world.stopped.set(true);
        }
    }
    finish(&world, commands).await
}

/// A command that is none of the plan: all are told apart but by their time.
fn gone(command: Option<Command>) -> Result<()> {
    match command {
        Some(Command::Go | Command::Stop) => Ok(()),
        Some(Command::Plan(_)) => bail!("a second plan"),
        None => bail!("the coordinator is gone"),
    }
}

fn begin(world: &World, phase: Phase) -> Result<()> {
    tick(world)?;
    world.phase.set(phase);
    link::say(&Said::Phase(phase))
}

async fn prepare(world: &Rc<World>) -> Result<()> {
    setup::check(world).await?;
    setup::tokens(world).await?;
    setup::conversations(world).await?;
    if world.plan.messages.is_none() {
        setup::rehearse(world).await?;
    }
    begin(world, Phase::Open)?;
    if world.plan.streams.open {
        setup::streams(world).await?;
    }
    Ok(())
}

/// The load from its beginning to its end.
async fn load(world: &Rc<World>) -> Result<()> {
    let times = world.plan.times;
    let start = Instant::now();
    let counts_from = start + Duration::from_secs_f64(times.warm_up_s);
    let end = start + times.load();
    world.timed.set((world.micros(counts_from), world.micros(end)));
    begin(world, if times.warm_up_s > 0.0 { Phase::WarmUp } else { Phase::Run })?;
    (0u32..).zip(&world.devices).filter(|(_, device)| device.ready.get()).for_each(|(account, _)| {
        device::plan_end(world, account);
    });
    let sending = async {
        match world.plan.messages {
            Some(plan) => send(world, plan, start).await,
            None => Ok(()),
        }
    };
    let phases = async {
        if times.warm_up_s > 0.0 {
            tokio::time::sleep_until(counts_from.into()).await;
            begin(world, Phase::Run)?;
        }
        tokio::time::sleep_until(end.into()).await;
        Ok(())
    };
    let broken = async {
        // The first violation ends the run: what follows from it is no news.
        while world.history.as_ref().is_none_or(|history| history.violation().is_none() && !history.full()) {
            tokio::time::sleep(TICK).await;
        }
        world.stopped.set(true);
    };
    tokio::select! {
        both = async { tokio::try_join!(sending, phases) } => both.map(|_| ()),
        () = broken => Ok(()),
    }
}

async fn send(world: &Rc<World>, plan: MessagesPlan, start: Instant) -> Result<()> {
    let mut senders = JoinSet::new();
    match plan.pace {
        Pace::Open { .. } => {
            // Those who send outlive the load: what waits is sent in the phase after it.
            for _ in 0..plan.connections {
                tokio::task::spawn_local(sender::run(Rc::clone(world)));
            }
            senders.spawn_local(sender::open_loop(Rc::clone(world), plan, start, Clock::new()?));
        }
        Pace::Closed => {
            for connection in 0..plan.connections {
                senders.spawn_local(sender::closed_loop(Rc::clone(world), plan, connection, start));
            }
        }
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender has failed")?;
    }
    Ok(())
}

/// The end of a load: all arrives, and is judged. A second stop ends the wait.
async fn finish(world: &Rc<World>, mut commands: mpsc::Receiver<Command>) -> Result<Option<Verdict>> {
    begin(world, Phase::Settle)?;
    if let Some(plan) = world.plan.messages {
        tokio::select! {
            settled = settle(world, plan) => settled?,
            command = commands.recv() => gone(command)?,
        }
    }
    tick(world)?;
    let verdict = settle::verdict(world);
    match (verdict, &world.plan.verify) {
        (Some(verdict), Some(plan)) => settle::write(world, plan, verdict).map(Some),
        (verdict, _) => Ok(verdict),
    }
}

async fn settle(world: &Rc<World>, plan: MessagesPlan) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs_f64(world.plan.times.settle_s);
    if plan.pace == Pace::Closed {
        for _ in 0..plan.connections {
            tokio::task::spawn_local(sender::run(Rc::clone(world)));
        }
    }
    settle::answers(world, deadline).await;
    settle::listen(world);
    let broken = world.history.as_ref().is_some_and(|history| history.violation().is_some());
    if broken || (world.stopped.get() && !world.plan.streams.open) {
        return Ok(());
    }
    if !world.plan.streams.open {
        setup::streams(world).await?;
    }
    if !settle::last_messages(world, deadline).await && world.history.is_none() {
        world
            .fail_with(ErrorKind::Missing, || "a conversation's last message had not come to all".to_owned());
    }
    Ok(())
}

/// Sends a tick a second, for ever.
async fn tell(world: Rc<World>) {
    let mut seconds = tokio::time::interval(TICK);
    loop {
        seconds.tick().await;
        if tick(&world).is_err() {
            // Nobody is there for whom to go on.
            std::process::exit(1);
        }
    }
}

fn tick(world: &World) -> Result<()> {
    let mut tick = world.tick.take();
    (tick.streams, tick.queued) = (world.streams.get(), world.jobs.waiting() as u64);
    link::say(&Said::Tick(Box::new(tick)))
}
