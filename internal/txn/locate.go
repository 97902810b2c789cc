package txn

import "github.com/trunkline/trunkline/internal/backend"

// Locate tells where the primary of a group is that the session's catalog snapshot may not know yet: a node that this transaction
// adds, or that another one has just added.
func (t *Tx) Locate(groupID int32, address backend.Address) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.located == nil {
		t.located = map[int32]backend.Address{}
		known := t.address
		t.address = func(group int32) (backend.Address, error) {
			address, err := known(group)
			if located, ok := t.located[group]; ok && err != nil {
				return located, nil
			}
			return address, err
		}
	}
	t.located[groupID] = address
}
