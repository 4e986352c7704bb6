from services.cli.start import main

main()
