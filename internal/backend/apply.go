package backend

import (
	"context"
	"maps"
	"slices"
)

// settingsState is what a connection knows of the session settings on its node.
type settingsState struct {
	wanted    *Settings         // what Apply last brought about; nil when that has come undone
	applied   map[string]string // by name; those that are not here have the node's default
	unknown   map[string]bool   // set, but a rollback may have undone it
	unsettled []string          // set in a transaction that is not yet over
}

// Apply brings the session settings on the node up to date. Where nothing differs from what this connection has, it does nothing.
// Inside a transaction block (beginning says that a BEGIN was put before by Prefix) the SETs travel ahead of the caller's next
// message; outside one they are a round trip of their own, because a statement that may not run in a transaction must not share
// theirs, and one that runs without them could give wrong answers.
func (c *Conn) Apply(ctx context.Context, wanted *Settings, beginning bool) error {
	s := &c.settings
	if s.wanted == wanted && (wanted != nil || len(s.applied) == 0) {
		return nil
	}
	if s.wanted != nil && s.wanted.Key() == wanted.Key() {
		s.wanted = wanted
		return nil
	}
	before := s.clone()
	texts := s.difference(wanted)
	if len(texts) == 0 {
		s.wanted = wanted
		return nil
	}
	inBlock := beginning || c.txStatus != 'I'
	for _, text := range texts {
		c.Prefix(text)
	}
	s.wanted = wanted
	if inBlock {
		return nil
	}
	c.addSync()
	err := c.finishUnit(ctx)
	if err != nil {
		*s = before // one that does not exist can be neither set nor reset
	}
	return err
}

// beginSettings are the settings that a BEGIN looks at: to change them after it is too late.
var beginSettings = [...]string{"default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"}

// ApplyBeforeBegin brings the session settings on the node up to date where a BEGIN would otherwise go by those of the session that
// had this connection before.
func (c *Conn) ApplyBeforeBegin(ctx context.Context, wanted *Settings) error {
	s := &c.settings
	if len(s.applied) == 0 && len(s.unknown) == 0 {
		return nil
	}
	for _, name := range beginSettings {
		_, applied := s.applied[name]
		if _, ok := wanted.Get(name); !ok && applied || s.unknown[name] {
			return c.Apply(ctx, wanted, false)
		}
	}
	return nil
}

// NoteSetting tells the connection that the session changed a setting on it by itself. If reset is true it is back at its default.
func (c *Conn) NoteSetting(name, value string, reset bool) {
	s := &c.settings
	s.wanted = nil
	s.init()
	if reset {
		delete(s.applied, name)
		delete(s.unknown, name)
	} else {
		s.applied[name] = value
	}
	s.unsettled = append(s.unsettled, name)
}

// NoteUnknownSetting tells the connection that the value of a setting may have changed in some unknown way.
func (c *Conn) NoteUnknownSetting(name string) {
	c.settings.init()
	c.settings.wanted = nil
	c.settings.unknown[name] = true
}

func (s *settingsState) init() {
	if s.applied == nil {
		s.applied, s.unknown = map[string]string{}, map[string]bool{}
	}
}

// clone gives a copy of what is known at the end of a transaction, with nothing taken for what Apply last brought about.
func (s *settingsState) clone() settingsState {
	return settingsState{applied: maps.Clone(s.applied), unknown: maps.Clone(s.unknown)}
}

// difference lists the statements that lead from what there is to what is wanted, and takes them as run.
func (s *settingsState) difference(wanted *Settings) []string {
	s.init()
	var texts, gone []string
	for name := range s.applied {
		if _, ok := wanted.Get(name); !ok {
			gone = append(gone, name)
		}
	}
	for name := range s.unknown {
		_, applied := s.applied[name]
		if _, ok := wanted.Get(name); !ok && !applied {
			gone = append(gone, name)
		}
	}
	var changed []string
	if wanted != nil {
		for name, value := range wanted.values {
			if has, ok := s.applied[name]; !ok || has != value || s.unknown[name] {
				changed = append(changed, name)
			}
		}
	}
	if role, ok := wanted.Get("role"); ok && role != "none" && !slices.Contains(changed, "role") &&
		(slices.Contains(changed, "session_authorization") || slices.Contains(gone, "session_authorization")) {
		changed = append(changed, "role") // which a change of the session's user ends
	}
	settingsInOrder(gone)
	for _, name := range gone {
		texts = append(texts, resetStatement(name))
		delete(s.applied, name)
		delete(s.unknown, name)
		s.unsettled = append(s.unsettled, name)
	}
	settingsInOrder(changed)
	for _, name := range changed {
		texts = append(texts, setStatement(name, wanted.values[name]))
		s.applied[name] = wanted.values[name]
		delete(s.unknown, name)
		s.unsettled = append(s.unsettled, name)
	}
	return texts
}

// forgetUnsettled is called when a transaction or a part of it was rolled back: what was set in it may have come undone.
func (s *settingsState) forgetUnsettled() {
	if len(s.unsettled) == 0 {
		return
	}
	s.init()
	for _, name := range s.unsettled {
		s.unknown[name] = true
	}
	s.wanted = nil
	s.unsettled = s.unsettled[:0]
}

// settle is called when a transaction was committed.
func (s *settingsState) settle() { s.unsettled = s.unsettled[:0] }
