//! The properties of objects.

use std::rc::Rc;

use crate::calls::Schema;
use crate::diff::Comparison;
use crate::diff::rules::{self, Relation};
use crate::diff::schemas::{Pair, Views, Walk, Way};
use crate::schema::{Additional, Direction, Property};

impl<'t> Comparison<'t> {
    /// Compares the properties that are sent in this direction.
    pub(super) fn properties(&mut self, walk: &mut Walk<'t>, views: &Views<'_, 't>) {
        let request = views.direction == Direction::Request;
        let visible = |property: &Property<'t>| {
            !(if request {
                property.read_only
            } else {
                property.write_only
            })
        };
        for (name, old) in views
            .old
            .properties
            .iter()
            .filter(|(_, property)| visible(property))
        {
            match views
                .new
                .properties
                .get(name)
                .filter(|property| visible(property))
            {
                Some(new) => self.property(walk, views, name, (old, new)),
                None => self.property_gone(views, name, old),
            }
        }
        for (name, new) in views
            .new
            .properties
            .iter()
            .filter(|(_, property)| visible(property))
        {
            if !views.old.properties.get(name).is_some_and(visible) {
                self.property_new(views, name, new);
            }
        }
        self.additional(walk, views);
    }

    fn property(
        &mut self,
        walk: &mut Walk<'t>,
        views: &Views<'_, 't>,
        name: &str,
        (old, new): (&Property<'t>, &Property<'t>),
    ) {
        let mut about = views.about("properties");
        about.old = old.node.or(about.old);
        about.new = new.node.or(about.new);
        let nodes = (
            about.old.unwrap_or(views.pair.nodes.0),
            about.new.unwrap_or(views.pair.nodes.1),
        );
        let way = Rc::new(Way::Property(Rc::clone(&views.pair.way), name.into()));
        let request = views.direction == Direction::Request;
        match (old.required, new.required) {
            (false, true) => {
                let rule = if request {
                    &rules::REQUEST_PROPERTY_BECAME_REQUIRED
                } else {
                    &rules::RESPONSE_PROPERTY_BECAME_REQUIRED
                };
                self.say(&way, rule, "it is now required", about);
            }
            (true, false) => {
                let rule = if request {
                    &rules::REQUEST_PROPERTY_BECAME_OPTIONAL
                } else {
                    &rules::RESPONSE_PROPERTY_BECAME_OPTIONAL
                };
                self.say(&way, rule, "it is now optional", about);
            }
            _ => {}
        }
        walk.waiting.push_back(Pair {
            old: Schema::All(old.schema.clone()),
            new: Schema::All(new.schema.clone()),
            nodes,
            way,
        });
    }

    fn property_gone(&mut self, views: &Views<'_, 't>, name: &str, old: &Property<'t>) {
        let request = views.direction == Direction::Request;
        let mut about = views.about("properties");
        about.old = old.node.or(about.old);
        let (rule, text) = match (request, old.node.is_some()) {
            (true, true) => (&rules::REQUEST_PROPERTY_REMOVED, "is gone"),
            (true, false) => (&rules::REQUEST_PROPERTY_BECAME_OPTIONAL, "is now optional"),
            (false, true) => (&rules::RESPONSE_PROPERTY_REMOVED, "is gone"),
            (false, false) => (
                &rules::RESPONSE_PROPERTY_BECAME_OPTIONAL,
                "may now be missing",
            ),
        };
        self.say(
            &views.pair.way,
            rule,
            &format!("the property `{name}` {text}"),
            about,
        );
    }

    fn property_new(&mut self, views: &Views<'_, 't>, name: &str, new: &Property<'t>) {
        let mut about = views.about("properties");
        about.new = new.node.or(about.new);
        let default = || {
            new.schema
                .iter()
                .any(|node| self.new.resolve(node).get("default").is_some())
        };
        let (rule, text) = match views.direction {
            Direction::Response => (&rules::RESPONSE_PROPERTY_ADDED, "is new"),
            Direction::Request if new.required && !default() => (
                &rules::REQUEST_PROPERTY_ADDED_REQUIRED,
                "is new and required",
            ),
            Direction::Request => (&rules::REQUEST_PROPERTY_ADDED, "is new"),
        };
        self.say(
            &views.pair.way,
            rule,
            &format!("the property `{name}` {text}"),
            about,
        );
    }

    fn additional(&mut self, walk: &mut Walk<'t>, views: &Views<'_, 't>) {
        let about = views.about("additionalProperties");
        let request = views.direction == Direction::Request;
        match (&views.old.additional, &views.new.additional) {
            (Additional::Any, Additional::Any) | (Additional::None, Additional::None) => {}
            (_, Additional::None) => {
                let rule = if request {
                    &rules::REQUEST_FURTHER_FORBIDDEN
                } else {
                    &rules::RESPONSE_FURTHER_FORBIDDEN
                };
                self.say(
                    &views.pair.way,
                    rule,
                    "further properties are not allowed any more",
                    about,
                );
            }
            (Additional::None, _) => {
                let rule = if request {
                    &rules::REQUEST_FURTHER_ALLOWED
                } else {
                    &rules::RESPONSE_FURTHER_ALLOWED
                };
                self.say(
                    &views.pair.way,
                    rule,
                    "further properties are allowed",
                    about,
                );
            }
            (Additional::Any, Additional::Schema(_)) => {
                self.facet(
                    views,
                    &rules::ADDITIONAL_PROPERTIES,
                    Relation::Narrowed,
                    about,
                );
            }
            (Additional::Schema(_), Additional::Any) => {
                self.facet(
                    views,
                    &rules::ADDITIONAL_PROPERTIES,
                    Relation::Widened,
                    about,
                );
            }
            (Additional::Schema(old), Additional::Schema(new)) => {
                let nodes = (
                    about.old.unwrap_or(views.pair.nodes.0),
                    about.new.unwrap_or(views.pair.nodes.1),
                );
                walk.waiting.push_back(Pair {
                    old: Schema::All(old.clone()),
                    new: Schema::All(new.clone()),
                    nodes,
                    way: Rc::new(Way::Additional(Rc::clone(&views.pair.way))),
                });
            }
        }
    }
}
