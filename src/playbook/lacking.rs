//! Which merchants lack a variable that a playbook needs: asked before it runs, for all merchants at once. Nothing is sent to any vendor.

use crate::attributes::AttributeShelf;
use crate::inbox::{LogError, Position};
use crate::placeholder;
use crate::vault::{AuthorizerState, Vault, VaultError};

use super::Playbook;

/// Merchants read at a time.
const PORTION: usize = 500;

/// One merchant that lacks something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Lack {
    /// Its component.
    pub component: String,
    /// Its app id.
    pub authorizer: String,
    /// What it lacks, by name.
    pub variables: Vec<String>,
}

/// All that lack something.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Lacking {
    /// Merchants that were looked at: those that granted, of the playbook's components.
    pub authorizers: u64,
    /// How many of them lack something.
    pub lacking: u64,
    /// The first of those.
    pub first: Vec<Lack>,
}

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum LackingError {
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store of what is noted.
    #[error(transparent)]
    Store(#[from] LogError),
}

/// Looks at every merchant of those components. `first` holds at most `most`.
///
/// # Errors
/// The stores'.
pub async fn lacking(
    playbook: &Playbook,
    components: &[&str],
    vault: &Vault,
    attributes: &dyn AttributeShelf,
    most: usize,
) -> Result<Lacking, LackingError> {
    let mut found = Lacking::default();
    let wanted = playbook.variables();
    for component in components {
        let mut after: Option<Position> = None;
        loop {
            let page = vault.authorizers(component, after.as_ref(), PORTION).await?;
            for authorizer in page.items {
                if authorizer.state == AuthorizerState::Revoked || !playbook.concerns_authorizer(&authorizer.app_id) {
                    continue;
                }
                found.authorizers += 1;
                if wanted.is_empty() {
                    continue;
                }
                let noted = serde_json::Value::Object(attributes.get(component, &authorizer.app_id).await?.variables);
                let variables: Vec<String> =
                    wanted.iter().filter(|path| placeholder::at(&noted, path).is_none()).map(|path| (*path).to_owned()).collect();
                if variables.is_empty() {
                    continue;
                }
                found.lacking += 1;
                if found.first.len() < most {
                    found.first.push(Lack { component: (*component).to_owned(), authorizer: authorizer.app_id, variables });
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(found)
}
