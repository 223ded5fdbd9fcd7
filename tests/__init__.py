"""The tests mirror the code; faults/ and security/ hold one test a promise."""
