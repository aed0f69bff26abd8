//! `lb-bin check`: is the balancer at the admin address ready?

use std::time::Duration;

use anyhow::bail;
use hyper::StatusCode;

use crate::terminal::Admin;

/// Docker gives a health check 30 seconds unless told otherwise; this is sooner.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn check(admin: Admin) -> anyhow::Result<()> {
    let answer = admin.within(LIMIT).ask("/readyz").await?;
    match answer.status {
        StatusCode::OK => Ok(()),
        status => bail!("not ready ({}): {}", status.as_u16(), answer.body.trim()),
    }
}
