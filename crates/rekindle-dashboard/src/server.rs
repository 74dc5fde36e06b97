//! The page of a run, or of all runs of a folder, on a port of this machine that other machines cannot reach.

mod guard;
mod index;
mod stream;
mod watch;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Name, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;

use crate::record::ReadError;
use watch::Watch;

/// How often a log is looked at for new lines.
pub(crate) const POLL: Duration = Duration::from_millis(300);
/// How often the server asks whether it should stop.
const STOP: Duration = Duration::from_millis(100);

/// What a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One run folder.
    Run(PathBuf),
    /// A folder of runs.
    Runs(PathBuf),
}

/// Why a server cannot begin or go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The port is taken or forbidden.
    #[error("cannot listen on port {port}")]
    Listen {
        /// Which.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The connections could not be served.
    #[error("cannot serve the dashboard")]
    Serve {
        /// What the system says.
        #[from]
        source: io::Error,
    },
    /// There is nothing to show.
    #[error(transparent)]
    Target(#[from] ReadError),
}

impl ServeError {
    /// What to try next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { .. } => Some("choose another port, or 0 for any free one".into()),
            Self::Serve { .. } => None,
            Self::Target(error) => error.hint(),
        }
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    watch: Arc<Watch>,
}

impl Server {
    /// Listens on a port of the loopback address, 0 for any free one; `is_held` tells whether a living
    /// process holds a run folder.
    pub fn bind(
        target: Target,
        port: u16,
        is_held: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Result<Self, ServeError> {
        let watch = Arc::new(Watch::new(target, Box::new(is_held))?);
        let listen = |source| ServeError::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            address,
            watch,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `is_done`, which is asked ten times in a second.
    pub fn run(self, is_done: impl Fn() -> bool) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let app = router(self.watch, self.address.port());
            let done = async {
                while !is_done() {
                    tokio::time::sleep(STOP).await;
                }
            };
            // Streams of events have no end, so the server does not wait for them.
            tokio::select! {
                served = async { axum::serve(listener, app).await } => served,
                () = done => Ok(()),
            }
        });
        served.map_err(ServeError::from)
    }
}

fn router(watch: Arc<Watch>, port: u16) -> Router {
    let routes = match watch.target() {
        Target::Run(_) => Router::new()
            .route("/", get(only_page))
            .route("/events", get(stream::of_only)),
        Target::Runs(_) => Router::new()
            .route("/", get(index::page))
            .route("/runs/{name}", get(page))
            .route("/runs/{name}/events", get(stream::of_name)),
    };
    routes
        .with_state(watch)
        .layer(middleware::from_fn(move |request, next| {
            guard::check(port, request, next)
        }))
}

async fn only_page(State(watch): State<Arc<Watch>>) -> Response {
    answer(watch.only_page())
}

async fn page(State(watch): State<Arc<Watch>>, Name(name): Name<String>) -> Response {
    match watch.folder(&name) {
        Ok(Some(folder)) => answer(watch.page(&folder, Some("/"))),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unreadable(&error),
    }
}

fn answer(page: Result<String, ReadError>) -> Response {
    match page {
        Ok(page) => Html(page).into_response(),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &ReadError) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}
