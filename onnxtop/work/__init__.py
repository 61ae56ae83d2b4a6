"""How work is shared out, whatever it is: workers on this machine or others, and what was done before."""
