"""Every system of the paper on one dataset, and its claims beside what came out here.

`systems` says which there are, `runs` trains them and lets them predict, `claims` tests what the paper
says of their order, `report` writes it all down.
"""
