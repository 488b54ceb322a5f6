//! Statements, and what they open and close.

use super::{Open, Parsed, Parser, Unit, What};
use crate::lex::{Keyword, Kind, Token};
use crate::node::{Control, ListId, Node};
use crate::text::{decode, quoted};

impl Parser<'_> {
    pub(super) fn text_or_action(&mut self) -> Parsed<()> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => self.append(Node::Text(token.start..token.end)),
            Kind::LeftDelim => {
                self.unit.action_line = token.line;
                self.action()?;
            }
            _ => return self.unexpected(token, "input"),
        }
        Ok(())
    }

    fn action(&mut self) -> Parsed<()> {
        let token = self.next_non_space();
        let Kind::Keyword(keyword) = token.kind else {
            self.backup();
            return self.simple_action();
        };
        match keyword {
            Keyword::Block => return self.block(),
            Keyword::Break => return self.leave(token, "break"),
            Keyword::Continue => return self.leave(token, "continue"),
            Keyword::Else => return self.else_control(),
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                return self.end();
            }
            Keyword::If => return self.control(Control::If, false),
            Keyword::Range => return self.control(Control::Range, false),
            Keyword::With => return self.control(Control::With, false),
            Keyword::Template => return self.template(),
            Keyword::Define | Keyword::Nil => self.backup(),
        }
        self.simple_action()
    }

    fn simple_action(&mut self) -> Parsed<()> {
        self.peek();
        let pipe = self.pipeline("command", Kind::RightDelim)?;
        self.append(Node::Action(pipe));
        self.unit.action_line = 0;
        Ok(())
    }

    fn leave(&mut self, keyword: Token, word: &str) -> Parsed<()> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(token, &format!("{{{{{word}}}}}"));
        }
        if self.unit.range_depth == 0 {
            return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        self.append(if word == "break" { Node::Break(keyword.start) } else { Node::Continue(keyword.start) });
        self.unit.action_line = 0;
        Ok(())
    }

    fn control(&mut self, control: Control, chained: bool) -> Parsed<()> {
        let vars = self.unit.vars.len();
        let pipe = self.pipeline(control.name(), Kind::RightDelim)?;
        if control == Control::Range {
            self.unit.range_depth += 1;
        }
        self.open.push(Open {
            what: What::Control { control, pipe, vars, list: None, chained },
            nodes: Vec::new(),
        });
        Ok(())
    }

    fn else_control(&mut self) -> Parsed<()> {
        let peeked = self.peek_non_space().kind;
        if !matches!(peeked, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelim, "else")?;
        }
        self.unit.action_line = 0;
        let Some(top) = self.open.last_mut() else { return self.fail_at("unexpected ", "else", "") };
        let (control, list) = match &mut top.what {
            What::Root => return self.fail_at("unexpected ", "else", ""),
            What::Define { .. } => return self.fail_at("unexpected ", "else", " in define clause"),
            What::Block { .. } => return self.fail_in_block(),
            What::Control { control, list, .. } => (*control, list),
        };
        if list.is_some() {
            return self.fail_at("expected end; found ", "else", "");
        }
        let id = ListId(self.tree.lists.len());
        *list = Some(id);
        self.tree.lists.push(std::mem::take(&mut top.nodes));
        if control == Control::Range {
            self.unit.range_depth -= 1;
        }
        let chains = matches!(
            (control, peeked),
            (Control::If, Kind::Keyword(Keyword::If)) | (Control::With, Kind::Keyword(Keyword::With))
        );
        if chains {
            self.next_non_space();
            return self.control(control, true);
        }
        Ok(())
    }

    /// Closes the innermost construct, and those that `else if` chained to it.
    fn end(&mut self) -> Parsed<()> {
        loop {
            self.unit.action_line = 0;
            let Some(open) = self.open.pop() else { return self.fail_at("unexpected ", "end", "") };
            match open.what {
                What::Root => return self.fail_at("unexpected ", "end", ""),
                What::Define { name, outer } => {
                    self.add(name, open.nodes)?;
                    self.unit = outer;
                    return Ok(());
                }
                What::Block { pos, name, pipe, outer } => {
                    self.add(name.clone(), open.nodes)?;
                    self.unit = outer;
                    self.unit.action_line = 0;
                    self.append(Node::Template { pos, name, pipe: Some(pipe) });
                    return Ok(());
                }
                What::Control { control, pipe, vars, list, chained } => {
                    let id = self.store(open.nodes);
                    if control == Control::Range && list.is_none() {
                        self.unit.range_depth -= 1;
                    }
                    let (list, else_list) = match list {
                        Some(list) => (list, Some(id)),
                        None => (id, None),
                    };
                    self.unit.vars.truncate(vars);
                    self.append(Node::Control { control, pipe, list, else_list });
                    if !chained {
                        return Ok(());
                    }
                }
            }
        }
    }

    pub(super) fn define(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::replace(&mut self.unit, Unit::new());
        let token = self.next_non_space();
        if !matches!(token.kind, Kind::Str | Kind::RawString) {
            return self.unexpected(token, CONTEXT);
        }
        let name = self.unquote(token)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.open.push(Open { what: What::Define { name, outer }, nodes: Vec::new() });
        Ok(())
    }

    fn block(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let outer = std::mem::replace(&mut self.unit, Unit::new());
        self.open.push(Open { what: What::Block { pos: token.start, name, pipe, outer }, nodes: Vec::new() });
        Ok(())
    }

    fn template(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelim)?);
        }
        self.append(Node::Template { pos: token.start, name, pipe });
        self.unit.action_line = 0;
        Ok(())
    }

    fn template_name(&mut self, token: Token, context: &str) -> Parsed<Vec<u8>> {
        match token.kind {
            Kind::Str | Kind::RawString => self.unquote(token),
            _ => self.unexpected(token, context),
        }
    }

    /// Adds a defined template: a blank body never replaces and never conflicts.
    pub(super) fn add(&mut self, name: Vec<u8>, nodes: Vec<Node>) -> Parsed<ListId> {
        let blank = self.is_blank(&nodes);
        let id = self.store(nodes);
        if blank {
            self.blank.insert(id.0);
        }
        match self.tree.definitions.get(&name) {
            Some(old) if !self.blank.contains(&old.0) => {
                if !blank {
                    let message = format!("template: multiple definition of template {}", quoted(&name));
                    return self.fail(message);
                }
            }
            _ => {
                self.tree.definitions.insert(name, id);
            }
        }
        Ok(id)
    }

    fn is_blank(&self, nodes: &[Node]) -> bool {
        nodes.iter().all(|node| match node {
            Node::Text(range) => {
                let mut text = &self.text[range.clone()];
                while let (Some(rune), width) = decode(text) {
                    if !rune.is_whitespace() {
                        return false;
                    }
                    text = &text[width..];
                }
                text.is_empty()
            }
            _ => false,
        })
    }

    fn store(&mut self, nodes: Vec<Node>) -> ListId {
        self.tree.lists.push(nodes);
        ListId(self.tree.lists.len() - 1)
    }

    fn append(&mut self, node: Node) {
        if let Some(open) = self.open.last_mut() {
            open.nodes.push(node);
        }
    }
}
