from vmn.cli import main

main(prog_name="vmn")
