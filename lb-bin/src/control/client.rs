//! What the commands do: one question over the control socket, one answer.

use std::{io, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time,
};

use super::{
    Name, is_nobody, peer,
    protocol::{Answer, LONGEST, Question},
};
use crate::terminal::print;

/// A reload looks names up, which can take a while.
const LIMIT: Duration = Duration::from_secs(60);

/// Asks the balancer at `name`, and prints what it says.
pub(crate) async fn ask(name: Option<&Name>, question: &Question) -> anyhow::Result<()> {
    let Some(name) = name else {
        bail!("there is nobody to ask: the control socket is off (--control, LB_CONTROL)");
    };
    let stream = match name.connect().await {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => bail!(
            "nobody answers at {name}: is the balancer up, here or in this container? If its \
             control socket has another name, say so with --control or LB_CONTROL"
        ),
        Err(error) => return Err(error).context(format!("can't ask at {name}")),
    };
    if let Some(user) = peer::impostor(&stream)? {
        bail!(
            "who answers at {name} runs as user {user}, and this command as {}: be that user or \
             root if that is the balancer",
            peer::us()
        );
    }
    let answer = time::timeout(LIMIT, converse(stream, question)).await.map_err(io::Error::from);
    let answer =
        answer.flatten().with_context(|| format!("no answer from the balancer at {name}"))?;
    match Answer::parse(&answer) {
        Some(Answer::Done(text)) => print(&(text + "\n"))?,
        Some(Answer::Failed(why)) => bail!("{why}"),
        None => bail!("the balancer at {name} has ended before it answered; see its log"),
    }
    Ok(())
}

async fn converse(mut stream: UnixStream, question: &Question) -> io::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(LONGEST as u64).read_to_string(&mut answer).await?;
    Ok(answer)
}
