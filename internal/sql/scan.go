package sql

// LiteralKind is what type PostgreSQL gives a constant before any coercion.
type LiteralKind byte

const (
	LiteralInteger LiteralKind = iota // fits int4
	LiteralBigint                     // fits int8 only
	LiteralNumeric                    // any other number
	LiteralString                     // of type unknown, however it is quoted
	LiteralBits                       // B'…' or X'…'
)

// Literal is one constant in a statement's text: text[Start:End], quotes and prefix included, sign excluded.
type Literal struct {
	Start, End int
	Kind       LiteralKind
}
