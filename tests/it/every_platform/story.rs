//! The whole life of a token with both sides in one room: ticket, component token, link, grant, exchange, renewal, recovery, withdrawal.

use jiff::SignedDuration;
use yizhan::platform::call::{ApiError, Class};
use yizhan::platform::token::{AuthorizerTokens, Family, LinkRequest, Recovered, Refresh, Standing, TokenKey};
use yizhan::secret::Secret;

use super::*;

/// A component at work in one family.
struct Life {
    stage: Stage,
    family: Family,
    component_token: Option<Secret>,
}

/// Every family of every platform, with a component token where there is one.
fn lives() -> Vec<Life> {
    let mut lives = Vec::new();
    for platform in platform::ALL.iter().copied() {
        let families = Stage::new(platform).component.families();
        assert_eq!(families.first(), Some(&Family::Current), "{}", platform.name());
        for family in families {
            let mut life = Life { stage: Stage::new(platform), family: *family, component_token: None };
            life.renew_component_token(now());
            lives.push(life);
        }
    }
    lives
}

impl Life {
    fn standing(&self, at: Timestamp) -> Standing<'_> {
        Standing { family: self.family, component_token: self.component_token.as_ref(), now: at }
    }

    fn renew_component_token(&mut self, at: Timestamp) {
        let Some(push) = self.stage.twin.ticket(at) else {
            assert!(!self.stage.component.needs_component_token(), "{}", self.stage.name);
            assert!(self.stage.component.component_token(self.family, &Secret::new("t")).is_none(), "{}", self.stage.name);
            return;
        };
        let Notice::Ticket(ticket) = self.stage.open(&push).notice else { panic!("{}", self.stage.name) };
        self.stage.secret(ticket.value.expose());
        let call = self.stage.component.component_token(self.family, &ticket.value).unwrap();
        let answer = self.stage.ask_at(&call, at);
        assert_eq!((answer.deed, answer.accepted), ("component_token", true), "{}: {:?}", self.stage.name, answer.reply.body);
        let token = self.stage.component.read_component_token(self.family, &answer.reply, at).unwrap();
        assert!(token.expires_at.unwrap() > at, "{}", self.stage.name);
        assert!(self.stage.twin.accepts(None, token.value.expose(), at), "{}", self.stage.name);
        self.stage.secret(token.value.expose());
        self.component_token = Some(token.value);
    }

    fn granted_code(&mut self, at: Timestamp) -> Secret {
        let story = self.stage.twin.grant(MERCHANT, at);
        let code = self.stage.component.returned(&story.redirect_query, at).unwrap().code.value;
        self.stage.secret(code.expose());
        code
    }

    fn send(&mut self, call: &Call, at: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        let answer = self.stage.ask_at(call, at);
        let read = self.stage.component.read_tokens(self.family, &answer.reply, at);
        self.stage.shown.push(format!("{read:?}"));
        assert_eq!(answer.accepted, read.is_ok(), "{}: {} {read:?}", self.stage.name, String::from_utf8_lossy(&answer.reply.body));
        for tokens in read.iter().flatten() {
            self.stage.secret(tokens.access.value.expose());
            self.stage.secrets.extend(tokens.refresh.iter().map(|token| token.value.expose().to_owned()));
        }
        read
    }

    fn exchange(&mut self, code: &Secret, at: Timestamp) -> Result<Vec<AuthorizerTokens>, ApiError> {
        let call = self.stage.component.exchange(self.standing(at), code);
        self.send(&call, at)
    }

    /// Tokens of a merchant that has just granted.
    fn tokens(&mut self) -> AuthorizerTokens {
        let code = self.granted_code(now());
        let mut tokens = self.exchange(&code, now()).unwrap();
        assert_eq!(tokens.len(), 1, "{}", self.stage.name);
        tokens.remove(0)
    }

    fn accepts(&self, tokens: &AuthorizerTokens, at: Timestamp) -> bool {
        self.stage.twin.accepts(Some(MERCHANT), tokens.access.value.expose(), at)
    }

    fn recover(&mut self, at: Timestamp) -> Option<Result<Recovered, ApiError>> {
        let call = self.stage.component.recover(self.standing(at), MERCHANT)?;
        let answer = self.stage.ask_at(&call, at);
        assert_eq!(answer.deed, "recover", "{}", self.stage.name);
        for push in &answer.pushes {
            assert!(matches!(self.stage.open(push).notice, Notice::Updated(_) | Notice::Granted(_)), "{}", self.stage.name);
        }
        let read = self.stage.component.read_recovered(self.family, MERCHANT, &answer.reply, at);
        self.stage.shown.push(format!("{read:?}"));
        if let Ok(Recovered::Code(code)) = &read {
            self.stage.secret(code.value.expose());
        }
        Some(read)
    }
}

#[test]
fn tickets_are_started_where_the_vendor_wants_to_be_asked() {
    for mut stage in stages() {
        let Some(call) = stage.component.start_tickets() else { continue };
        let answer = stage.ask(&call);
        assert_eq!(answer.deed, "start_tickets", "{}", stage.name);
        stage.component.read_start_tickets(&answer.reply).unwrap();
        assert!(answer.pushes.iter().all(|push| matches!(stage.open(push).notice, Notice::Ticket(_))), "{}", stage.name);
        stage.assert_nothing_shown();
    }
}

#[test]
fn a_wrong_ticket_gives_no_component_token() {
    for mut life in lives() {
        let Some(call) = life.stage.component.component_token(life.family, &Secret::new("not-a-ticket")) else { continue };
        let answer = life.stage.ask(&call);
        assert!(!answer.accepted, "{}", life.stage.name);
        let error = life.stage.component.read_component_token(life.family, &answer.reply, now()).unwrap_err();
        assert_eq!(error.class, Class::TicketInvalid, "{}: {error}", life.stage.name);
    }
}

#[test]
fn a_link_leads_to_the_vendor_and_back_with_our_mark() {
    for mut life in lives() {
        let state = "bWFyay1fMTIz";
        let redirect_uri = format!("https://post.example.com/callback/{}/authorized", life.stage.name);
        let request = LinkRequest { redirect_uri, state: state.to_owned() };
        let call = life.stage.component.prepare_link(life.standing(now()), &request);
        let prepared = call.map(|call| {
            let answer = life.stage.ask(&call);
            assert_eq!((answer.deed, answer.accepted), ("link", true), "{}: {:?}", life.stage.name, answer.reply.body);
            answer.reply
        });
        let link = life.stage.component.link(&request, prepared.as_ref(), now()).unwrap();
        let mut decoded = link.url.clone();
        assert!(url::Url::parse(&link.url).is_ok(), "{}", life.stage.name);
        for _ in 0..3 {
            decoded = form_urlencoded::parse(format!("x={decoded}").as_bytes()).map(|(name, value)| format!("{name}={value}&")).collect();
        }
        // Alipay takes base64 only, and gets our mark in it.
        let sent = [state.to_owned(), base64::Engine::encode(&base64::engine::general_purpose::STANDARD, state)];
        let sent = sent.iter().find(|sent| decoded.contains(*sent)).unwrap_or_else(|| panic!("{}: {}", life.stage.name, link.url));
        assert!(decoded.contains("https://post.example.com/callback/"), "{}: {}", life.stage.name, link.url);
        let back: String = form_urlencoded::byte_serialize(sent.as_bytes()).collect();
        let query = format!("{}&state={back}", life.stage.twin.grant(MERCHANT, now()).redirect_query);
        assert_eq!(life.stage.component.returned(&query, now()).unwrap().state.as_deref(), Some(state), "{}", life.stage.name);
        assert!(link.expires_at.is_none_or(|at| at > now()), "{}", life.stage.name);
        life.stage.assert_nothing_shown();
    }
}

#[test]
fn a_code_gives_tokens_once() {
    for mut life in lives() {
        let code = life.granted_code(now());
        let tokens = life.exchange(&code, now()).unwrap().remove(0);
        assert!(life.accepts(&tokens, now()), "{}", life.stage.name);
        let app_id = match &tokens.app_id {
            Some(app_id) => app_id.clone(),
            None => {
                let call = life.stage.component.identify(life.standing(now()), &tokens.access.value);
                let answer = life.stage.ask(&call.unwrap_or_else(|| panic!("{}: nobody says whose token it is", life.stage.name)));
                assert_eq!(answer.deed, "info", "{}", life.stage.name);
                life.stage.component.read_identity(&answer.reply).unwrap().app_id
            }
        };
        assert_eq!(app_id, MERCHANT, "{}", life.stage.name);
        let error = life.exchange(&code, now()).unwrap_err();
        assert_eq!(error.class, Class::CodeInvalid, "{}: {error}", life.stage.name);
        let error = life.exchange(&Secret::new("never-given"), now()).unwrap_err();
        assert_eq!(error.class, Class::CodeInvalid, "{}: {error}", life.stage.name);
        assert!(life.accepts(&tokens, now()), "{}: a failed exchange costs the tokens", life.stage.name);
        life.stage.assert_nothing_shown();
    }
}

#[test]
fn a_token_is_renewed_by_the_vendors_way() {
    for mut life in lives() {
        let first = life.tokens();
        let at = now() + SignedDuration::from_mins(90);
        life.renew_component_token(at);
        let spent = first.refresh.as_ref().map_or_else(|| Secret::new("none"), |token| token.value.clone());
        let second = match life.stage.component.refresh(life.standing(at), MERCHANT, &spent) {
            Refresh::Spend(call) => {
                let mut tokens = life.send(&call, at).unwrap();
                assert_eq!((life.stage.deed, tokens.len()), ("refresh", 1), "{}", life.stage.name);
                tokens.remove(0)
            }
            Refresh::Recover => match life.recover(at).unwrap().unwrap() {
                Recovered::Code(code) => life.exchange(&code.value, at).unwrap().remove(0),
                Recovered::Tokens(tokens) => *tokens,
            },
        };
        assert!(life.accepts(&second, at), "{}", life.stage.name);
        assert!(second.access.expires_at.is_none_or(|expires_at| expires_at > at), "{}", life.stage.name);
        life.stage.assert_nothing_shown();
    }
}

#[test]
fn a_made_up_refresh_token_calls_for_recovery() {
    for mut life in lives() {
        life.tokens();
        let Refresh::Spend(call) = life.stage.component.refresh(life.standing(now()), MERCHANT, &Secret::new("never-given")) else {
            continue;
        };
        let error = life.send(&call, now()).unwrap_err();
        assert_eq!(error.class, Class::RefreshTokenInvalid, "{}: {error}", life.stage.name);
    }
}

#[test]
fn a_lost_grant_is_won_back_where_the_vendor_allows_it() {
    for mut life in lives() {
        life.tokens();
        let Some(recovered) = life.recover(now()) else { continue };
        let tokens = match recovered.unwrap() {
            Recovered::Code(code) => {
                assert!(code.expires_at > now(), "{}", life.stage.name);
                life.exchange(&code.value, now()).unwrap().remove(0)
            }
            Recovered::Tokens(tokens) => *tokens,
        };
        assert!(life.accepts(&tokens, now()), "{}", life.stage.name);
        life.stage.assert_nothing_shown();
    }
}

#[test]
fn a_dead_component_token_is_told_as_such() {
    for mut life in lives().into_iter().filter(|life| life.component_token.is_some()) {
        let code = life.granted_code(now());
        life.stage.twin.expire_tokens(None);
        assert!(!life.stage.twin.accepts(None, life.component_token.as_ref().unwrap().expose(), now()), "{}", life.stage.name);
        let error = life.exchange(&code, now()).unwrap_err();
        assert_eq!(error.class, Class::RenewComponentToken, "{}: {error}", life.stage.name);
        life.renew_component_token(now());
        let tokens = life.exchange(&code, now()).unwrap().remove(0);
        assert!(life.accepts(&tokens, now()), "{}: a refused call costs the code", life.stage.name);
    }
}

#[test]
fn expired_authorizer_tokens_are_no_longer_accepted() {
    for mut life in lives() {
        let tokens = life.tokens();
        life.stage.twin.expire_tokens(Some(MERCHANT));
        assert!(!life.accepts(&tokens, now()), "{}", life.stage.name);
        assert!(!life.stage.twin.accepts(Some("somebody-else"), tokens.access.value.expose(), now()), "{}", life.stage.name);
    }
}

#[test]
fn a_withdrawal_ends_tokens_and_codes() {
    for mut life in lives() {
        let tokens = life.tokens();
        let code = life.granted_code(now());
        life.stage.twin.revoke(MERCHANT, now());
        assert!(!life.accepts(&tokens, now()), "{}", life.stage.name);
        let dead = [Class::CodeInvalid, Class::GrantGone];
        let error = life.exchange(&code, now()).unwrap_err();
        assert!(dead.contains(&error.class), "{}: {:?} {error}", life.stage.name, error.class);
        if let Some(token) = tokens.refresh
            && let Refresh::Spend(call) = life.stage.component.refresh(life.standing(now()), MERCHANT, &token.value)
        {
            let error = life.send(&call, now()).unwrap_err();
            assert!(
                [Class::RefreshTokenInvalid, Class::GrantGone].contains(&error.class),
                "{}: {:?} {error}",
                life.stage.name,
                error.class
            );
        }
        if let Some(recovered) = life.recover(now()) {
            let error = recovered.unwrap_err();
            assert_eq!(error.class, Class::GrantGone, "{}: {error}", life.stage.name);
        }
        let again = life.tokens();
        assert!(life.accepts(&again, now()), "{}: a merchant may come back", life.stage.name);
    }
}

#[test]
fn renewals_leave_time_to_try_again() {
    for life in lives() {
        let component = &life.stage.component;
        let authorizer = TokenKey::Authorizer { app_id: MERCHANT.to_owned(), family: life.family };
        for key in [TokenKey::Component(life.family), authorizer] {
            assert_eq!(key.family(), life.family);
            assert!(component.renewal(&key).ahead.as_secs() >= 60, "{}", life.stage.name);
        }
        if let Some(rule) = component.ticket_rule() {
            assert!(rule.lifetime > rule.every, "{}", life.stage.name);
        }
    }
}
