//! `lb-bin top`: what goes on, as it goes on.

mod feed;
mod figures;
mod model;
mod plain;
mod rows;
mod screen;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::{Context, bail};
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::Receiver,
    time::{self, Instant, MissedTickBehavior},
};

use super::{admin::Admin, output::print, text::colored};
use feed::{Update, follow};
use model::{Model, Then, View};

/// Shows a table that changes, until it is quit; or prints it once, where there is no
/// terminal, or if it is wanted `once`.
pub(crate) async fn top(admin: Admin, interval: Duration, once: bool) -> anyhow::Result<()> {
    let updates = follow(admin).await?;
    let address = admin.address().to_string();
    if once || !io::stdout().is_terminal() {
        let view = watch(updates, interval).await?;
        return Ok(print(&plain::render(&view, &address, colored()))?);
    }
    let mut model = Model::new(address);
    // Its hook restores the terminal before a panic is told.
    let mut terminal = ratatui::try_init().context("can't use this terminal; try --once")?;
    let shown = show(&mut terminal, &mut model, updates, interval).await;
    ratatui::try_restore().context("can't restore the terminal; `reset` does")?;
    shown
}

/// What there is to see after so long.
async fn watch(mut updates: Receiver<Update>, interval: Duration) -> anyhow::Result<View> {
    let (mut view, mut begun) = (View::default(), None);
    while let Some(update) = updates.recv().await {
        if let Update::Lost(why) = update {
            bail!("the balancer was there, and is not any more: {why}");
        }
        let is_traffic = matches!(update, Update::Traffic(_));
        view.update(update);
        // From the first traffic on it is watched.
        if is_traffic && begun.get_or_insert_with(Instant::now).elapsed() >= interval {
            return Ok(view);
        }
    }
    bail!("the balancer tells nothing")
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    model: &mut Model,
    mut updates: Receiver<Update>,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut keys = EventStream::new();
    let mut has_keys = true;
    let mut told_to_end = signal(SignalKind::terminate())?;
    let mut tick = time::interval(interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let colored = colored();
    loop {
        terminal.draw(|frame| screen::draw(frame, model, colored))?;
        // Until there is something new to show.
        loop {
            tokio::select! {
                event = keys.next(), if has_keys => match event {
                    Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                        match model.key(key) {
                            Then::Quit => return Ok(()),
                            Then::Draw => break,
                        }
                    }
                    Some(Ok(Event::Resize(..))) => break,
                    Some(Ok(_)) => {}
                    // There is nobody at a keyboard; the screen is there all the same.
                    Some(Err(_)) | None => has_keys = false,
                },
                update = updates.recv() => match update {
                    Some(update) => if model.update(update) { break },
                    None => bail!("the balancer is followed no more"),
                },
                _ = tick.tick() => if model.refresh() { break },
                _ = told_to_end.recv() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::terminal::top::model::tests::view;

    #[tokio::test(start_paused = true)]
    async fn it_is_printed_once_traffic_has_been_watched_for_so_long() {
        let (updates, received) = mpsc::channel(64);
        let begun = Instant::now();
        tokio::spawn(async move {
            let View { state, traffic, .. } = view();
            updates.send(Update::State(state)).await.unwrap();
            loop {
                time::sleep(Duration::from_millis(250)).await;
                if updates.send(Update::Traffic(traffic.clone())).await.is_err() {
                    return;
                }
            }
        });
        let seen = watch(received, Duration::from_secs(1)).await.unwrap();
        assert_eq!(seen.traffic.total.rate, 102.5);
        let watched = begun.elapsed();
        assert!((1000..=1500).contains(&watched.as_millis()), "{watched:?}");
    }

    #[tokio::test]
    async fn who_goes_while_it_is_watched_is_an_error() {
        let (updates, received) = mpsc::channel(64);
        let View { state, traffic, .. } = view();
        for update in
            [Update::State(state), Update::Traffic(traffic), Update::Lost("it has ended".into())]
        {
            updates.send(update).await.unwrap();
        }
        let error = watch(received, Duration::from_secs(60)).await.unwrap_err();
        assert!(error.to_string().contains("is not any more: it has ended"), "{error}");
    }
}
