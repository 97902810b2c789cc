package exec

import (
	"bytes"
	"fmt"
	"testing"
)

func TestSpool(t *testing.T) {
	for _, keep := range []int{1 << 20, 1000, 1} {
		s := NewSpool(0)
		s.keep = keep
		const rows = 1000
		for i := range rows {
			if err := s.Add(appendRow(nil, [][]byte{fmt.Appendf(nil, "row %d", i), nil, bytes.Repeat([]byte{'x'}, i%70)})); err != nil {
				t.Fatal(err)
			}
		}
		next := 0
		err := s.Each(func(raw []byte) error {
			values, err := splitRow(raw, nil)
			if err != nil {
				return err
			}
			if string(values[0]) != fmt.Sprintf("row %d", next) || values[1] != nil || len(values[2]) != next%70 {
				t.Fatalf("keep %d: row %d is %q", keep, next, values)
			}
			next++
			return nil
		})
		if err != nil || next != rows {
			t.Fatalf("keep %d: %d rows, %v", keep, next, err)
		}
		for _, i := range []int64{999, 0, 64, 63, 500} {
			raw, err := s.Row(i)
			if err != nil || !bytes.Contains(raw, fmt.Appendf(nil, "row %d", i)) {
				t.Fatalf("keep %d: row %d is %q, %v", keep, i, raw, err)
			}
		}
		var some int64
		if err := s.Range(100, 300, func([]byte) error { some++; return nil }); err != nil || some != 200 {
			t.Fatalf("keep %d: %d rows, %v", keep, some, err)
		}
		s.Close()
	}
	s := NewSpool(100)
	if err := s.Add(make([]byte, 101)); stateOf(err) != "54000" {
		t.Errorf("a spool of 100 bytes takes 101: %v", err)
	}
}

func TestCutRow(t *testing.T) {
	raw := appendRow(nil, [][]byte{[]byte("a"), nil, []byte("bcd"), []byte("e")})
	cut, err := cutRow(raw, 2)
	if want := appendRow(nil, [][]byte{[]byte("a"), nil}); err != nil || !bytes.Equal(cut, want) {
		t.Errorf("%q, %v", cut, err)
	}
	if _, err := cutRow(raw, 3); err == nil {
		t.Error("three columns were cut off two")
	}
}

func TestSplitArrayText(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `[]`, `{1,2,-3}`: `["1" "2" "-3"]`, `{a,NULL,null}`: `["a" <nil> <nil>]`, `{"a,b","c\"d","NULL",""}`: `["a,b" "c\"d" "NULL" ""]`,
		`{{1},{2}}`: `error`, `[0:1]={1,2}`: `error`, `{1,`: `error`, `{1,}`: `error`, `{ 1}`: `error`,
	} {
		elements, err := splitArrayText([]byte(text))
		got := "error"
		if err == nil {
			var parts []string
			for _, e := range elements {
				if e == nil {
					parts = append(parts, "<nil>")
				} else {
					parts = append(parts, fmt.Sprintf("%q", e))
				}
			}
			got = fmt.Sprint(parts)
		}
		if got != want {
			t.Errorf("%s gives %s, not %s", text, got, want)
		}
	}
}

func TestCompareValues(t *testing.T) {
	int4 := func(v int32) []byte { return []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)} }
	ascending := []int32{-1 << 31, -5, -1, 0, 1, 256, 1<<31 - 1}
	for i, a := range ascending {
		for j, b := range ascending {
			if got := compareValues(int4(a), int4(b), 23); got != compareInts(i, j) {
				t.Errorf("%d and %d compare as %d", a, b, got)
			}
		}
	}
	nan := []byte{0x7f, 0xf8, 0, 0, 0, 0, 0, 0}
	infinity := []byte{0x7f, 0xf0, 0, 0, 0, 0, 0, 0}
	if compareValues(nan, infinity, 701) != 1 || compareValues(nan, nan, 701) != 0 {
		t.Error("NaN must be equal to itself and greater than everything else")
	}
}

func compareInts(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestUsesParam(t *testing.T) {
	text := []byte("SELECT $1, $12")
	if !usesParam(text, 1) || !usesParam(text, 12) || usesParam(text, 2) || usesParam([]byte("$12"), 1) {
		t.Error("parameters are not told apart")
	}
}
