//! What is shown, and what keys do to it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    feed::Update,
    rows::{Row, Sort, rows},
};
use crate::terminal::answers::{Endpoints, State, Traffic};

/// All that is known of the balancer, as of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) traffic: Traffic,
    /// Why there is nothing new.
    pub(super) lost: Option<String>,
}

impl View {
    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.state.endpoints
    }

    /// Takes in what has come. Says whether it is to be shown at once.
    pub(super) fn update(&mut self, update: Update) -> bool {
        match update {
            Update::State(state) => {
                if state.started != self.state.started {
                    // Another process, to which these are nothing.
                    self.traffic = Traffic::default();
                }
                (self.state, self.lost) = (state, None);
                true
            }
            Update::Traffic(traffic) => {
                self.traffic = traffic;
                false
            }
            Update::Lost(why) => {
                self.lost = Some(why);
                true
            }
        }
    }
}

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Where it comes from.
    pub(super) address: String,
    latest: View,
    pub(super) shown: View,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// Whether keys are letters of the filter.
    pub(super) typing: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The first line that is seen.
    pub(super) scroll: usize,
    /// Lines that are seen at once; known once they were drawn.
    pub(super) page: usize,
    /// Lines there are.
    pub(super) lines: usize,
}

/// What a key has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Draw,
    Quit,
}

impl Model {
    pub(super) fn new(address: String) -> Self {
        Self { address, ..Self::default() }
    }

    /// Takes in what has come. Says whether it is to be shown at once.
    pub(super) fn update(&mut self, update: Update) -> bool {
        self.latest.update(update) && self.refresh()
    }

    /// Shows the latest there is, unless it is to stand still.
    pub(super) fn refresh(&mut self) -> bool {
        if !self.paused {
            self.shown = self.latest.clone();
        }
        !self.paused
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        rows(&self.shown, self.sort, &self.filter)
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Then {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Then::Quit,
            _ if control => {}
            // What is on top goes first.
            KeyCode::Esc if std::mem::take(&mut self.help) => {}
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
                self.scroll = 0;
            }
            KeyCode::Enter if self.typing => self.typing = false,
            KeyCode::Backspace if self.typing => {
                self.filter.pop();
                self.scroll = 0;
            }
            KeyCode::Char(letter) if self.typing => {
                self.filter.push(letter);
                self.scroll = 0;
            }
            _ if self.help => self.help = false,
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char(' ') => {
                self.paused = !self.paused;
                self.refresh();
            }
            KeyCode::Char('n') => self.sort_by(Sort::Name),
            KeyCode::Char('r') => self.sort_by(Sort::Rate),
            KeyCode::Char('e') => self.sort_by(Sort::Errors),
            KeyCode::Char('l') => self.sort_by(Sort::Latency),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll_to(self.scroll + 1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(self.page),
            KeyCode::PageDown => self.scroll_to(self.scroll + self.page),
            KeyCode::Home | KeyCode::Char('g') => self.scroll = 0,
            KeyCode::End | KeyCode::Char('G') => self.scroll_to(usize::MAX),
            _ => {}
        }
        Then::Draw
    }

    fn sort_by(&mut self, sort: Sort) {
        (self.sort, self.scroll) = (sort, 0);
    }

    /// No further than to the last line.
    pub(super) fn scroll_to(&mut self, line: usize) {
        self.scroll = line.min(self.lines.saturating_sub(self.page));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the balancer tells it.
    pub(crate) const STATE: &str = r#"{"version":"0.1.0","started":1764450000.0,"services":[
        {"name":"app.local","algorithm":"round_robin","endpoints":[
            {"id":"1","name":"shop-app-1","source":"docker","address":"172.17.0.3:8484","weight":1,"state":"ready","reasons":[]},
            {"id":"2","name":"shop-app-2","source":"docker","address":"172.17.0.4:8484","weight":1,"state":"ready","reasons":[]},
            {"id":"3","name":"shop-app-3","source":"docker","address":"172.17.0.5:8484","weight":1,"state":"connecting",
             "reasons":["172.17.0.5:8484 does not accept connections yet: Connection refused (os error 111)"]}]},
        {"name":"blog.local","algorithm":"round_robin","endpoints":[
            {"id":"4","name":"blog-1","source":"docker","address":null,"weight":1,"state":"down","reasons":["exited (1)"]}]}],
        "unrouted":[
            {"id":"5","name":"shop-db-1","source":"docker","state":"ignored","reasons":["names no host: set VIRTUAL_HOST or the label lb.host"]},
            {"id":"6","name":"web-1","source":"docker","state":"quarantined","reasons":["VIRTUAL_PORT=\"0\": a port is a number from 1 to 65535"]}],
        "docker":{"connected":true,"synced":true,"engine":"20.10.24","api":"1.41","containers":7,"error":null}}"#;
    pub(crate) const TRAFFIC: &str = r#"{"at":1764453845.25,"seconds":0.25,"window":10.0,"connections":12,
        "total":{"requests":25,"failed":1,"rate":102.5,"errors":2.5,"p50":1.2,"p90":2.0,"p99":41.0},
        "services":[
            {"name":"app.local","waiting":0,
             "total":{"requests":25,"failed":0,"rate":100.0,"errors":0.5,"p50":1.2,"p90":2.0,"p99":41.0},
             "local":{"requests":0,"failed":0,"rate":0.0,"errors":0.0,"p50":null,"p90":null,"p99":null},
             "endpoints":[
                {"name":"shop-app-1","in_flight":2,"total":{"requests":10,"failed":0,"rate":40.0,"errors":0.5,"p50":1.3,"p90":2.0,"p99":1240.0}},
                {"name":"shop-app-2","in_flight":3,"total":{"requests":15,"failed":0,"rate":60.0,"errors":0.0,"p50":1.1,"p90":2.0,"p99":4.1}},
                {"name":"shop-app-3","in_flight":0,"total":{"requests":0,"failed":0,"rate":0.0,"errors":0.0,"p50":null,"p90":null,"p99":null}}]},
            {"name":"blog.local","waiting":2,
             "total":{"requests":0,"failed":1,"rate":2.0,"errors":2.0,"p50":0.2,"p90":0.2,"p99":0.2},
             "local":{"requests":0,"failed":1,"rate":2.0,"errors":2.0,"p50":0.2,"p90":0.2,"p99":0.2},
             "endpoints":[{"name":"blog-1","in_flight":0,"total":{"requests":0,"failed":0,"rate":0.0,"errors":0.0,"p50":null,"p90":null,"p99":null}}]}],
        "unrouted":{"requests":0,"failed":0,"rate":0.5,"errors":0.5,"p50":0.1,"p90":0.1,"p99":0.1},
        "requests":[{"t":0.1,"service":"app.local","endpoint":"shop-app-1","status":200,"ms":1.2,"client":"10.0.0.9","reason":null}],
        "skipped":24}"#;

    pub(crate) fn view() -> View {
        let state = serde_json::from_str(STATE).unwrap();
        View { state, traffic: serde_json::from_str(TRAFFIC).unwrap(), lost: None }
    }

    pub(crate) fn model() -> Model {
        let mut model = Model::new("127.0.0.1:9180".into());
        let view = view();
        model.update(Update::State(view.state));
        model.update(Update::Traffic(view.traffic));
        model.refresh();
        model
    }

    pub(crate) fn press(model: &mut Model, keys: &str) {
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\x08' => KeyCode::Backspace,
                key => KeyCode::Char(key),
            };
            assert_eq!(model.key(KeyEvent::new(code, KeyModifiers::NONE)), Then::Draw);
        }
    }

    #[test]
    fn keys_sort_and_filter() {
        let mut model = model();
        press(&mut model, "e");
        assert_eq!(model.sort, Sort::Errors);
        press(&mut model, "/quer\x08\x08");
        assert_eq!((model.filter.as_str(), model.typing), ("qu", true), "letters, and no commands");
        press(&mut model, "\nl");
        assert_eq!((model.sort, model.typing), (Sort::Latency, false));
        assert_eq!(model.filter, "qu", "it stays");
        press(&mut model, "\x1b");
        assert_eq!(model.filter, "");
        press(&mut model, "?");
        assert!(model.help);
        press(&mut model, "r");
        assert_eq!((model.help, model.sort), (false, Sort::Latency), "any key closes it");
    }

    #[test]
    fn what_quits_does_so_while_a_filter_is_typed_too() {
        let mut model = model();
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        assert_eq!(model.key(key(KeyCode::Char('q'), KeyModifiers::NONE)), Then::Quit);
        press(&mut model, "/q");
        assert_eq!(model.filter, "q");
        assert_eq!(model.key(key(KeyCode::Char('c'), KeyModifiers::CONTROL)), Then::Quit);
    }

    #[test]
    fn while_it_stands_still_nothing_changes() {
        let mut model = model();
        press(&mut model, " ");
        let mut traffic = view().traffic;
        traffic.total.rate = 7.0;
        assert!(!model.update(Update::State(State::default())) && !model.refresh());
        model.update(Update::Traffic(traffic));
        model.refresh();
        assert_eq!(model.shown.traffic.total.rate, 102.5);
        assert_eq!(model.shown.endpoints().services.len(), 2);
        press(&mut model, " ");
        assert_eq!(model.shown.traffic.total.rate, 7.0);
        assert!(model.shown.endpoints().services.is_empty());
    }

    #[test]
    fn of_a_process_before_no_figures_are_left() {
        let mut model = model();
        assert!(model.update(Update::Lost("it has ended".into())));
        assert_eq!(model.shown.lost.as_deref(), Some("it has ended"));
        assert_eq!(model.shown.traffic.total.rate, 102.5, "what was last known stays");
        let mut state = view().state;
        state.started += 1.0;
        assert!(model.update(Update::State(state)));
        assert_eq!((model.shown.traffic.total.rate, &model.shown.lost), (0.0, &None));
    }

    #[test]
    fn scrolling_ends_at_the_ends() {
        let mut model = model();
        (model.lines, model.page) = (10, 4);
        press(&mut model, "k");
        assert_eq!(model.scroll, 0);
        press(&mut model, "jj");
        assert_eq!(model.scroll, 2);
        press(&mut model, "G");
        assert_eq!(model.scroll, 6);
        press(&mut model, "j");
        assert_eq!(model.scroll, 6);
        press(&mut model, "g");
        assert_eq!(model.scroll, 0);
    }
}
