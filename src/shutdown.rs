//! The wish to stop, handed to every worker as an argument.

use tokio::sync::watch;

/// A wish that every clone sees.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Asks everybody to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once somebody asked.
    pub async fn requested(&self) {
        let mut seen = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = seen.wait_for(|asked| *asked).await;
    }
}
